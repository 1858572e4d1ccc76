//! The commands to a running gateway: made from the table of `admin`, asked over the control socket.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::show;
use crate::admin::table::{self, Args, Row};
use crate::config::Config;

/// Adds every command of the table to the command line.
pub(super) fn add_to(command: Command) -> Command {
    let mut groups: Vec<&str> = table::all()
        .filter_map(|row| row.in_group().map(|(group, _)| group))
        .collect();
    groups.dedup();
    command
        .subcommands(table::all().filter(|r| r.in_group().is_none()).map(subcommand))
        .subcommands(groups.into_iter().map(group))
}

/// A command with a subject of which something is asked: `room NAME list`.
fn group(name: &'static str) -> Command {
    let rows = || table::all().filter(move |r| r.in_group().is_some_and(|(g, _)| g == name));
    let verbs: Vec<&str> = rows().filter_map(|r| r.in_group()).map(|(_, v)| v).collect();
    let subject = rows().next().and_then(|r| r.args.first());
    let about = format!(
        "Do something with a {name}: {} [default: {}]",
        verbs.join(", "),
        verbs.first().unwrap_or(&"")
    );
    Command::new(name)
        .about(about)
        .args(subject.map(argument))
        .args(common())
        .subcommands(rows().map(subcommand))
}

fn subcommand(row: &'static Row) -> Command {
    let (name, skipped) = match row.in_group() {
        Some((_, verb)) => (verb, 1),
        None => (row.name, 0),
    };
    Command::new(name)
        .about(row.about)
        .args(row.args.iter().skip(skipped).map(argument))
        .args(common())
}

fn argument(arg: &'static table::Arg) -> Arg {
    let made = Arg::new(arg.name).help(arg.about).required(arg.required);
    let made = if arg.required {
        made.allow_negative_numbers(true)
    } else {
        made.long(arg.name).value_name("VALUE")
    };
    if arg.words.is_empty() {
        made
    } else {
        made.value_parser(arg.words.to_vec())
    }
}

/// What every command takes.
fn common() -> [Arg; 2] {
    [
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print the answer as JSON"),
        Arg::new("socket").long("socket").value_name("FILE").help(
            "The control socket of the gateway [default: /run/flashgate/control.sock, or that of this user]",
        ),
    ]
}

/// Carries out a command of the table; `None` when it is another's.
pub(super) fn run(matches: &ArgMatches) -> Option<Result<(), String>> {
    let (name, given) = matches.subcommand()?;
    if let Some(row) = table::find(name) {
        return Some(ask(row, &[given]));
    }
    let mut rows = table::all().filter(|r| r.in_group().is_some_and(|(g, _)| g == name));
    Some(match given.subcommand() {
        None => ask(rows.next()?, &[given]),
        Some((verb, further)) => {
            let row = rows.find(|r| r.in_group().is_some_and(|(_, v)| v == verb))?;
            ask(row, &[further, given])
        }
    })
}

/// Asks it; `given` are the arguments of the command, then those before it.
fn ask(row: &Row, given: &[&ArgMatches]) -> Result<(), String> {
    let value = |name: &str| {
        let mut found = given.iter().filter_map(|m| m.try_get_one::<String>(name).ok());
        found.find_map(|v| v)
    };
    let values = row.args.iter().filter_map(|arg| {
        let value = value(arg.name)?;
        Some((arg.name.to_owned(), Value::from(value.as_str())))
    });
    let args: Args = values.collect();
    let socket = match value("socket") {
        Some(socket) => Some(socket.clone()),
        // A gateway that is told another place is found without being told again.
        None => Config::load(None).ok().and_then(|c| c.console.control),
    };
    let answer = crate::admin::request(socket.as_deref(), row.name, &args)?;
    if given.iter().any(|m| m.get_flag("json")) {
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

    #[test]
    fn a_group_has_its_subject_before_the_verb() {
        let command = add_to(Command::new("flashgate"));
        let parse = |line: &str| command.clone().try_get_matches_from(line.split(' '));
        let matches = parse("flashgate room team gain l5 -6 --json").unwrap();
        let (_, room) = matches.subcommand().unwrap();
        let (verb, gain) = room.subcommand().unwrap();
        let of = |m: &ArgMatches, name: &str| m.get_one::<String>(name).cloned();
        assert_eq!((verb, of(room, "room").as_deref()), ("gain", Some("team")));
        assert_eq!(of(gain, "db").as_deref(), Some("-6"));
        assert!(parse("flashgate room team").is_ok());
        assert!(parse("flashgate room").is_err());
        assert!(parse("flashgate room team dance").is_err());
        assert!(parse("flashgate room team record --each maybe").is_err());
    }
}
