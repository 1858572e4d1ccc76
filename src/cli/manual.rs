//! Shell completions and the man page, made from the command line itself.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

/// Print shell completions or the man page.
#[derive(Debug, clap::Args)]
pub(super) struct Manual {
    /// A shell, or `man`
    #[arg(value_parser = ["bash", "zsh", "fish", "elvish", "powershell", "man"])]
    what: String,
}

impl Manual {
    pub(super) fn run(&self, command: Command) -> Result<(), String> {
        let mut out = Vec::new();
        match self.what.parse::<Shell>() {
            Ok(shell) => clap_complete::generate(shell, &mut command.clone(), "flashgate", &mut out),
            Err(_) => man(command, &mut out).map_err(|e| e.to_string())?,
        }
        match io::stdout().write_all(&out) {
            // `flashgate manual man | head` is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

/// One page with every command, for `man -l -`.
fn man(mut command: Command, out: &mut Vec<u8>) -> io::Result<()> {
    command.build();
    let page = clap_mangen::Man::new(command.clone()).manual("flashgate");
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        section(&format!("flashgate {}", sub.get_name()), sub, out)?;
        for verb in sub.get_subcommands().filter(|s| s.get_name() != "help") {
            let subject = sub.get_positionals().next().map(|a| a.to_string());
            let title = [sub.get_name(), &subject.unwrap_or_default(), verb.get_name()].join(" ");
            section(&format!("flashgate {title}"), verb, out)?;
        }
    }
    writeln!(out, ".SH FILES")?;
    for (file, what) in FILES {
        writeln!(out, ".TP\n{file}\n{what}")?;
    }
    writeln!(
        out,
        ".SH EXIT STATUS\n0: success. 1: the request failed; a line on stderr says what to do. 2: wrong usage."
    )
}

fn section(title: &str, command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, ".SS \"{title}\"")?;
    if let Some(about) = command.get_about() {
        writeln!(out, "{about}.")?;
    }
    for arg in command.get_arguments().filter(|a| a.get_id() != "help") {
        writeln!(out, ".TP\n{}", roman(&arg.to_string()))?;
        let help = arg.get_help().map(ToString::to_string);
        writeln!(out, "{}", roman(&help.unwrap_or_default()))?;
    }
    Ok(())
}

const FILES: &[(&str, &str)] = &[
    (
        "/etc/flashgate/flashgate.toml",
        "The configuration; flashgate check prints every key.",
    ),
    (
        "/var/lib/flashgate/records/calls.jsonl",
        "Call records; flashgate records reads them.",
    ),
    (
        "/run/flashgate/control.sock",
        "The control socket of a running gateway.",
    ),
];

/// Text in which nothing is a request of roff: hyphens, backslashes, points at the beginning.
fn roman(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_the_page_and_the_completions() {
        let command = super::super::control::add_to(super::super::Arguments::command());
        let mut page = Vec::new();
        man(command.clone(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let mut bash = Vec::new();
        clap_complete::generate(Shell::Bash, &mut command.clone(), "flashgate", &mut bash);
        let bash = String::from_utf8(bash).unwrap();
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            assert!(page.contains(&format!(".SS \"flashgate {name}\"")), "{name}");
            assert!(bash.contains(name), "{name}");
        }
        assert!(page.contains("\\-\\-json"));
        assert!(page.contains(".SS \"flashgate room <room> kick\""), "{page}");
    }
}
