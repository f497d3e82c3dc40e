//! How fast a line may be used, by the time of day.

/// Bytes a second, in general and in spans of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// When no span says otherwise; nothing: as fast as it goes.
    pub usual: Option<u64>,
    /// The first that fits counts.
    pub spans: Vec<Span>,
}

/// A part of the day and its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Minute of the day that it begins with.
    pub from: u32,
    /// Minute of the day that it ends before. An earlier one than `from` is on the next day.
    pub to: u32,
    /// Nothing: as fast as it goes.
    pub rate: Option<u64>,
}

impl Bandwidth {
    /// Bytes a second in this minute of the day; nothing: as fast as it goes.
    pub fn at(&self, minute: u32) -> Option<u64> {
        self.spans.iter().find(|span| span.has(minute)).map_or(self.usual, |span| span.rate)
    }

    /// The same where each of several holds.
    pub fn least(all: &[Self], minute: u32) -> Option<u64> {
        all.iter().filter_map(|bandwidth| bandwidth.at(minute)).min()
    }
}

impl Span {
    fn has(&self, minute: u32) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_span_that_fits_counts_also_over_midnight() {
        let span = |from: u32, to: u32, rate| Span { from: from * 60, to: to * 60, rate };
        let bandwidth =
            Bandwidth { usual: Some(9), spans: vec![span(8, 23, Some(1)), span(22, 2, None), span(5, 5, Some(2))] };
        for (hour, rate) in [(8, Some(1)), (22, Some(1)), (23, None), (0, None), (1, None), (2, Some(2)), (7, Some(2))]
        {
            assert_eq!(bandwidth.at(hour * 60), rate, "{hour}");
        }
        let slow = Bandwidth { usual: None, spans: vec![span(22, 24, Some(4))] };
        let both = [bandwidth, slow];
        assert_eq!([7, 22, 23, 0].map(|hour| Bandwidth::least(&both, hour * 60)), [Some(2), Some(1), Some(4), None]);
        let night = Bandwidth { usual: Some(9), spans: vec![span(22, 6, None)] };
        assert_eq!((night.at(6 * 60), night.at(6 * 60 - 1)), (Some(9), None));
    }
}
