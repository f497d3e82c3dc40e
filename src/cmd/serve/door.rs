//! The door for other hosts and for the owner's page, opened and changed as the configuration says.

use std::sync::Arc;

use brackup::config::Config;
use brackup::status::Board;

use crate::term::Failure;

#[cfg(feature = "web")]
mod open {
    use std::thread::JoinHandle;

    use brackup::config::{DoorTls, PAGE_LISTEN, ServeOptions};
    use brackup::monitor::one_line;
    use brackup::outcome::Outcome;
    use brackup::thread;
    use brackup::web::{Door, Error, House, Limits};

    use super::{Arc, Board, Config, Failure};
    use crate::term;

    /// Who keeps the door.
    pub(in crate::cmd::serve) struct Doorkeeper {
        open: Option<(Door, ServeOptions)>,
        board: Arc<Board>,
    }

    impl Doorkeeper {
        /// A door that the configuration asks for and that can't be opened is an error; one for the page alone is missed and no more.
        pub(in crate::cmd::serve) fn start(config: &Config, board: &Arc<Board>) -> Result<Self, Failure> {
            let open = match opened(config, board) {
                Err(error) if config.serve.is_none() => {
                    term::warning(&format!("{}; the page is not shown", one_line(&error)));
                    None
                }
                opened => opened.map_err(failure)?,
            };
            Ok(Self { open, board: board.clone() })
        }

        /// Whether hosts may come in.
        pub(in crate::cmd::serve) fn is_open(&self) -> bool {
            self.open.as_ref().is_some_and(|(door, serve)| door.address() != PAGE_LISTEN || *serve != page_only())
        }

        /// Where it is, and by which pin others know it.
        pub(in crate::cmd::serve) fn tell(&self, config: &Config) {
            let Some((door, _)) = &self.open else { return };
            if config.serve.is_some() {
                let hosts = term::plural(config.hosts.len() as u64, "host", "hosts");
                let pin = door.pin().map_or_else(|| "without TLS".into(), |pin| format!("tls_pin = {pin}"));
                term::note(&format!("lets {hosts} in at {}, {pin}", door.address()));
            }
            if config.page.is_some() {
                let scheme = if door.pin().is_some() { "https" } else { "http" };
                let print = door.fingerprint().map(|print| format!("; its certificate has the SHA-256 {print}"));
                term::note(&format!("shows its page at {scheme}://{}/{}", door.address(), print.unwrap_or_default()));
            }
        }

        /// As the configuration is now. A door that can't be changed stays as it is.
        pub(in crate::cmd::serve) fn change(&mut self, config: &Config) {
            let Some(now) = &wanted(config) else {
                self.open = None;
                return;
            };
            // Whatever else goes wrong: who was taken out is let in no more.
            let mut changed = self.open.as_mut().map_or(Ok(()), |(door, _)| door.change(house(config, now)));
            let listens_at = self.open.as_ref().map(|(_, serve)| serve.listen);
            if changed.is_ok() && listens_at != Some(now.listen) {
                // The new one is open before the old one closes, unless it is at the same port.
                if listens_at.is_some_and(|before| before.port() == now.listen.port()) {
                    self.open = None;
                }
                changed = opened(config, &self.board).map(|door| self.open = door);
            } else if let (Ok(()), Some((_, serve))) = (&changed, &mut self.open) {
                serve.clone_from(now);
            }
            if let Err(error) = changed {
                let Failure { outcome, message, hint } = failure(error);
                let state =
                    if self.open.is_some() { "stays where it was, for those who are let in now" } else { "is closed" };
                let message = format!("{message}; the door {state}");
                term::error(&Failure { outcome, message, hint });
            }
            self.tell(config);
        }

        /// Closes it, which may take seconds: on a thread of its own.
        pub(in crate::cmd::serve) fn close(&mut self) -> Option<JoinHandle<()>> {
            let (door, _) = self.open.take()?;
            thread::named("door").spawn(move || drop(door)).ok()
        }
    }

    fn house<'a>(config: &'a Config, serve: &'a ServeOptions) -> House<'a> {
        House { serve, hosts: &config.hosts, page: config.page.as_ref(), key_dir: &config.own.key_dir }
    }

    /// Where nothing is said the page is for this machine alone.
    fn wanted(config: &Config) -> Option<ServeOptions> {
        config.serve.clone().or_else(|| config.page.as_ref().map(|_| page_only()))
    }

    fn page_only() -> ServeOptions {
        ServeOptions { listen: PAGE_LISTEN, tls: DoorTls::None }
    }

    fn opened(config: &Config, board: &Arc<Board>) -> Result<Option<(Door, ServeOptions)>, Error> {
        let Some(serve) = wanted(config) else { return Ok(None) };
        let say = Box::new(|text: &str| term::warning(text));
        let door = Door::open(house(config, &serve), board.clone(), Limits::default(), say)?;
        Ok(Some((door, serve)))
    }

    fn failure(error: Error) -> Failure {
        let hint = error.hint().map(str::to_owned);
        Failure { outcome: Outcome::Failed, message: one_line(&error), hint }
    }
}

#[cfg(feature = "web")]
pub(super) use open::Doorkeeper;

#[cfg(not(feature = "web"))]
pub(super) use closed::Doorkeeper;

#[cfg(not(feature = "web"))]
mod closed {
    use std::thread::JoinHandle;

    use super::{Arc, Board, Config, Failure};
    use crate::term;

    /// There is no door in this program.
    pub(in crate::cmd::serve) struct Doorkeeper;

    impl Doorkeeper {
        pub(in crate::cmd::serve) fn start(config: &Config, _: &Arc<Board>) -> Result<Self, Failure> {
            match &config.serve {
                None => Ok(Self),
                Some(_) => Err(Failure::usage("[SERVE] has listen, and this program was built without a door")
                    .hint("`cargo build --release --features web` makes one with it; docs/TARGETS.md has more")),
            }
        }

        pub(in crate::cmd::serve) fn is_open(&self) -> bool {
            false
        }

        pub(in crate::cmd::serve) fn tell(&self, _: &Config) {}

        pub(in crate::cmd::serve) fn change(&mut self, config: &Config) {
            if config.serve.is_some() {
                term::warning("[SERVE] has listen, and this program was built without a door: nobody is let in");
            }
        }

        pub(in crate::cmd::serve) fn close(&mut self) -> Option<JoinHandle<()>> {
            None
        }
    }
}
