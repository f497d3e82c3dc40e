//! The door for other hosts, opened and changed as the configuration says.

use brackup::config::Config;

use crate::term::Failure;

#[cfg(feature = "web")]
mod open {
    use std::thread::JoinHandle;

    use brackup::config::ServeOptions;
    use brackup::monitor::one_line;
    use brackup::outcome::Outcome;
    use brackup::thread;
    use brackup::web::{Door, Error, House, Limits};

    use super::{Config, Failure};
    use crate::term;

    /// Who keeps the door.
    #[derive(Default)]
    pub(in crate::cmd::serve) struct Doorkeeper(Option<(Door, ServeOptions)>);

    impl Doorkeeper {
        pub(in crate::cmd::serve) fn start(config: &Config) -> Result<Self, Failure> {
            Ok(Self(opened(config).map_err(failure)?))
        }

        pub(in crate::cmd::serve) fn is_open(&self) -> bool {
            self.0.is_some()
        }

        /// Where it is, and by which pin others know it.
        pub(in crate::cmd::serve) fn tell(&self, config: &Config) {
            let Some((door, _)) = &self.0 else { return };
            let hosts = term::plural(config.hosts.len() as u64, "host", "hosts");
            let pin = door.pin().map_or_else(|| "without TLS".into(), |pin| format!("tls_pin = {pin}"));
            term::note(&format!("lets {hosts} in at {}, {pin}", door.address()));
        }

        /// As the configuration is now. A door that can't be changed stays as it is.
        pub(in crate::cmd::serve) fn change(&mut self, config: &Config) {
            let Some(now) = &config.serve else {
                self.0 = None;
                return;
            };
            // Whatever else goes wrong: who was taken out is let in no more.
            let mut changed = self.0.as_mut().map_or(Ok(()), |(door, _)| door.change(house(config, now)));
            let listens_at = self.0.as_ref().map(|(_, serve)| serve.listen);
            if changed.is_ok() && listens_at != Some(now.listen) {
                // The new one is open before the old one closes, unless it is at the same port.
                if listens_at.is_some_and(|before| before.port() == now.listen.port()) {
                    self.0 = None;
                }
                changed = opened(config).map(|door| self.0 = door);
            } else if let (Ok(()), Some((_, serve))) = (&changed, &mut self.0) {
                serve.clone_from(now);
            }
            if let Err(error) = changed {
                let Failure { outcome, message, hint } = failure(error);
                let state =
                    if self.is_open() { "stays where it was, for those who are let in now" } else { "is closed" };
                let message = format!("{message}; the door {state}");
                term::error(&Failure { outcome, message, hint });
            }
            self.tell(config);
        }

        /// Closes it, which may take seconds: on a thread of its own.
        pub(in crate::cmd::serve) fn close(&mut self) -> Option<JoinHandle<()>> {
            let (door, _) = self.0.take()?;
            thread::named("door").spawn(move || drop(door)).ok()
        }
    }

    fn house<'a>(config: &'a Config, serve: &'a ServeOptions) -> House<'a> {
        House { serve, hosts: &config.hosts, key_dir: &config.own.key_dir }
    }

    fn opened(config: &Config) -> Result<Option<(Door, ServeOptions)>, Error> {
        let Some(serve) = &config.serve else { return Ok(None) };
        let say = Box::new(|text: &str| term::warning(text));
        let door = Door::open(house(config, serve), Limits::default(), say)?;
        Ok(Some((door, serve.clone())))
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

    use super::{Config, Failure};
    use crate::term;

    /// There is no door in this program.
    pub(in crate::cmd::serve) struct Doorkeeper;

    impl Doorkeeper {
        pub(in crate::cmd::serve) fn start(config: &Config) -> Result<Self, Failure> {
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
