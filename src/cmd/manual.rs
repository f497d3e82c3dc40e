//! `brackup completions`, `brackup man`: made from the command line's own structure, so that they are never out of date.

use std::io::Write as _;

use brackup::outcome::Outcome;
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::term::{self, Failure};

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "brackup", &mut script);
    print(&script)
}

/// Prints the manual page: the program, then each command.
pub(crate) fn man() -> Result<Outcome, Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        writeln!(page, ".SH \"brackup {}\"", subcommand.get_name().to_uppercase())?;
        let man = clap_mangen::Man::new(subcommand.clone());
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    print(&page)
}

fn print(bytes: &[u8]) -> Result<Outcome, Failure> {
    let mut out = term::out();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Outcome::Done)
}
