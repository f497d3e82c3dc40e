//! The program: parse, dispatch, say how it ended.

mod cli;
mod cmd;
mod progress;
mod syslog;
mod term;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::outcome::Outcome;
use clap::Parser as _;

use cli::{AlertCommand, Cli, Command, ConfigCommand, HostCommand, KeyCommand, TargetCommand};
use term::Failure;

fn main() -> ExitCode {
    let words = match words() {
        Ok(words) => words,
        Err(code) => return code,
    };
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help or the version, which were asked for.
            let _ = error.print();
            return ExitCode::from(Outcome::Done.code());
        }
        Err(error) => {
            term::say(format_args!("brackup: {}", error.render().to_string().trim_end()));
            return ExitCode::from(Outcome::Usage.code());
        }
    };
    no_core_dumps();
    // What is made here is for its owner alone. Restored files get their own modes.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let stop = if cli.is_stoppable() { stop_on_signals() } else { Ok(Arc::default()) };
    let outcome = stop.and_then(|stop| run(cli, &stop)).unwrap_or_else(|failure| {
        term::last_words(&failure);
        failure.outcome
    });
    ExitCode::from(outcome.code())
}

/// The command line, in the words of today.
#[cfg(feature = "original")]
fn words() -> Result<Vec<std::ffi::OsString>, ExitCode> {
    use std::io::Write as _;
    let ended = |outcome: Outcome| Err(ExitCode::from(outcome.code()));
    match cli::original::words(std::env::args_os()) {
        Ok(cli::original::Words::Today(words)) => Ok(words),
        Ok(cli::original::Words::Help(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ended(Outcome::Done)
        }
        Err(failure) => {
            term::last_words(&failure);
            ended(failure.outcome)
        }
    }
}

#[cfg(not(feature = "original"))]
fn words() -> Result<std::env::ArgsOs, ExitCode> {
    Ok(std::env::args_os())
}

fn run(mut cli: Cli, stop: &Arc<AtomicBool>) -> Result<Outcome, Failure> {
    cli.global.stop = stop.clone();
    let global = &cli.global;
    if cli.command.is_some() && cli.backup.is_any() {
        return Err(Failure::usage("the options of a backup stand before another command")
            .hint("give a command its options behind its name; `brackup COMMAND --help` lists them"));
    }
    match cli.command {
        None => cmd::backup::run(&cli.backup, global, stop),
        Some(Command::Alert(AlertCommand::Test { alert, event })) => cmd::alert::test(&alert, event.as_deref(), global),
        Some(Command::Backup(args)) => cmd::backup::run(&args, global, stop),
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => cmd::bench::run(&args, global, stop),
        Some(Command::Cat(args)) => cmd::browse::cat(&args, global),
        #[cfg(feature = "manual")]
        Some(Command::Completions { shell }) => cmd::manual::completions(shell),
        Some(Command::Config(ConfigCommand::Check)) => cmd::config::check(global),
        Some(Command::Copy(args)) => cmd::copy::run(&args, global, stop),
        Some(Command::Diff(args)) => cmd::browse::diff(&args, global),
        #[cfg(feature = "original")]
        Some(Command::Fetch(args)) => cmd::fetch::run(&args, global, stop),
        Some(Command::Find(args)) => cmd::browse::find(&args, global),
        Some(Command::Fsck(args)) => cmd::fsck::run(&args, global, stop),
        Some(Command::Gc(args)) => cmd::gc::run(&args, global, stop),
        Some(Command::History(args)) => cmd::history::run(&args, global),
        Some(Command::Host(HostCommand::Add { name, path, quota })) => cmd::host::add(&name, path, quota, global),
        Some(Command::Import(args)) => cmd::import::run(&args, global),
        Some(Command::Key(KeyCommand::Show { file })) => cmd::keys::show(&file, global),
        Some(Command::Keygen(args)) => cmd::keys::generate(&args, global),
        Some(Command::List { target }) => cmd::browse::list(target.as_deref(), global),
        Some(Command::Ls(args)) => cmd::browse::ls(&args, global),
        #[cfg(feature = "manual")]
        Some(Command::Man) => cmd::manual::man(),
        #[cfg(feature = "mount")]
        Some(Command::Mount(args)) => cmd::mount::run(&args, global, stop),
        Some(Command::Pin(args)) => cmd::prune::pin(&args, true, global),
        Some(Command::Prune(args)) => cmd::prune::run(&args, global, stop),
        Some(Command::Quickstart(args)) => cmd::quickstart::run(&args, global, stop),
        #[cfg(feature = "rebuild")]
        Some(Command::Rebuild(args)) => cmd::rebuild::run(&args, global, stop),
        Some(Command::Restore(args)) => cmd::restore::run(&args, global, stop),
        #[cfg(feature = "restore-test")]
        Some(Command::RestoreTest(args)) => cmd::restore_test::run(&args, global, stop),
        #[cfg(feature = "web")]
        Some(Command::Serve(args)) if args.set_password => cmd::password::set(global),
        #[cfg(feature = "web")]
        Some(Command::Serve(args)) if args.new_token => cmd::password::new_token(),
        Some(Command::Serve(args)) => cmd::serve::run(&args, global, stop),
        Some(Command::Status) => cmd::status::run(global),
        Some(Command::Target(TargetCommand::Check { target })) => cmd::target::check(target.as_deref(), global),
        Some(Command::Target(TargetCommand::Login { target })) => cmd::target::log_in(&target, global),
        Some(Command::Unpin(args)) => cmd::prune::pin(&args, false, global),
        Some(Command::Verify(args)) => cmd::verify::run(&args, global, stop),
    }
}

impl Cli {
    /// Whether it looks at the flag that a signal sets. The others only read and print: a signal may end them where they are.
    fn is_stoppable(&self) -> bool {
        match &self.command {
            None => true,
            #[cfg(feature = "bench")]
            Some(Command::Bench(_)) => true,
            #[cfg(feature = "original")]
            Some(Command::Fetch(_)) => true,
            #[cfg(feature = "mount")]
            Some(Command::Mount(_)) => true,
            #[cfg(feature = "rebuild")]
            Some(Command::Rebuild(_)) => true,
            #[cfg(feature = "restore-test")]
            Some(Command::RestoreTest(_)) => true,
            Some(
                Command::Backup(_)
                | Command::Copy(_)
                | Command::Fsck(_)
                | Command::Gc(_)
                | Command::Prune(_)
                | Command::Quickstart(_)
                | Command::Restore(_)
                | Command::Serve(_)
                | Command::Target(_)
                | Command::Verify(_),
            ) => true,
            Some(_) => false,
        }
    }
}

/// The first signal ends a run cleanly, a second one at once.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(Outcome::Interrupted.code()), stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Failure::new(Outcome::Failed, format!("can't catch signals: {error}")))?;
    }
    Ok(stop)
}

/// Keys and file contents are in memory. (Not PR_SET_DUMPABLE: it would take /proc/self/fd from a user who is not root.)
fn no_core_dumps() {
    use nix::sys::resource::{Resource, setrlimit};
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}
