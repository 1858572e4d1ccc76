//! The commands to a running gateway: made from the table of `admin`, asked over the control socket.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::show;
use crate::admin::table::{self, Args, Row};
use crate::config::Config;

/// Adds every command of the table to the command line.
pub(super) fn add_to(command: Command) -> Command {
    command.subcommands(table::TABLE.iter().map(subcommand))
}

fn subcommand(row: &'static Row) -> Command {
    let args = row.args.iter().map(|arg| {
        let made = Arg::new(arg.name).help(arg.about).required(arg.required);
        let made = if arg.required {
            made
        } else {
            made.long(arg.name).value_name("VALUE")
        };
        if arg.words.is_empty() {
            made
        } else {
            made.value_parser(arg.words.to_vec())
        }
    });
    Command::new(row.name)
        .about(row.about)
        .args(args)
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the answer as JSON"),
        )
        .arg(Arg::new("socket").long("socket").value_name("FILE").help(
            "The control socket of the gateway [default: /run/flashgate/control.sock, or that of this user]",
        ))
}

/// Carries out a command of the table; `None` when it is another's.
pub(super) fn run(matches: &ArgMatches) -> Option<Result<(), String>> {
    let (name, given) = matches.subcommand()?;
    let row = table::find(name)?;
    Some(ask(row, given))
}

fn ask(row: &Row, given: &ArgMatches) -> Result<(), String> {
    let values = row.args.iter().filter_map(|arg| {
        let value = given.get_one::<String>(arg.name)?;
        Some((arg.name.to_owned(), Value::from(value.as_str())))
    });
    let args: Args = values.collect();
    let socket = match given.get_one::<String>("socket") {
        Some(socket) => Some(socket.clone()),
        // A gateway that is told another place is found without being told again.
        None => Config::load(None).ok().and_then(|c| c.console.control),
    };
    let answer = crate::admin::request(socket.as_deref(), row.name, &args)?;
    if given.get_flag("json") {
        println!("{answer:#}");
    } else {
        print!("{}", show::text(&row.shape, &answer));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_the_table_are_those_of_the_command_line() {
        let command = add_to(Command::new("flashgate"));
        command.clone().debug_assert();
        let parse = |line: &[&str]| command.clone().try_get_matches_from(line);
        assert!(parse(&["flashgate", "hangup", "c1", "--json"]).is_ok());
        assert!(parse(&["flashgate", "hangup"]).is_err());
        assert!(parse(&["flashgate", "log", "loud"]).is_err());
        let matches = parse(&["flashgate", "calls", "--limit", "5"]).unwrap();
        let (_, calls) = matches.subcommand().unwrap();
        assert_eq!(calls.get_one::<String>("limit").unwrap(), "5");
    }
}
