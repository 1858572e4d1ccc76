//! Tables of commands, by name and number of arguments: the same name means other things elsewhere.

use std::ops::RangeInclusive;

use rtmp::amf::Value;
use rtmp::server::Call;

use super::acts::{Act, Acts};

/// The longest text taken as an argument, in bytes; what is behind it is cut off.
const LONGEST_TEXT: usize = 2_048;
/// How much of an unknown name is repeated to its sender, in characters.
const SHOWN: usize = 64;

/// A row of a dialect's table.
pub(super) struct Command<D: 'static> {
    /// Name.
    pub(super) name: &'static str,
    /// How many arguments it may have.
    pub(super) arity: RangeInclusive<usize>,
    /// What it does.
    pub(super) run: fn(&mut D, &Args<'_>, &mut Acts) -> Answer,
}

/// How a command is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// `_result` without a value.
    Done,
    /// `_result` with a value.
    Value(Value),
    /// `_error`, with what the client may tell its user.
    Failed(&'static str),
}

/// The arguments of a command.
pub(super) struct Args<'a> {
    /// Its transaction.
    pub(super) txn: f64,
    values: &'a [Value],
}

impl Args<'_> {
    /// Argument `i` as text; numbers as they are written (a user may be one), empty when there is none.
    pub(super) fn text(&self, i: usize) -> String {
        text(self.get(i))
    }

    /// Argument `i` as text, unless it is missing, null or empty.
    pub(super) fn given(&self, i: usize) -> Option<String> {
        Some(self.text(i)).filter(|t| !t.is_empty())
    }

    /// Argument `i` as truth: a Boolean, or a number other than 0, or "true".
    pub(super) fn truth(&self, i: usize) -> bool {
        match self.get(i) {
            Value::Boolean(b) => *b,
            Value::Number(n) => *n != 0.0,
            Value::String(s) => s == "true",
            _ => false,
        }
    }

    /// Argument `i` as a number, also when it is one in text.
    pub(super) fn number(&self, i: usize) -> Option<f64> {
        match self.get(i) {
            Value::Number(n) => Some(*n),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        }
        .filter(|n: &f64| n.is_finite())
    }

    /// Argument `i`; null when there is none.
    pub(super) fn get(&self, i: usize) -> &Value {
        self.values.get(i).unwrap_or(&Value::Null)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Those from `i` on that are texts.
    pub(super) fn texts(&self, i: usize) -> Vec<String> {
        (i..self.len()).filter_map(|i| self.given(i)).collect()
    }
}

/// A value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(s) | Value::Xml(s) => {
            let mut end = s.len().min(LONGEST_TEXT);
            while !s.is_char_boundary(end) {
                end -= 1;
            }
            s.get(..end).unwrap_or_default().to_owned()
        }
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    }
}

/// Does what a command says and answers it. What is in no table is answered with an error and nothing else.
pub(super) fn dispatch<D>(table: &'static [Command<D>], dialect: &mut D, call: &Call, acts: &mut Acts) {
    let args = Args {
        txn: call.txn,
        values: &call.args,
    };
    let row = table
        .iter()
        .find(|row| row.name == call.name && row.arity.contains(&args.len()));
    let answer = match row {
        Some(row) => (row.run)(dialect, &args, acts),
        None => {
            let name: String = call.name.chars().take(SHOWN).collect();
            acts.push(Act::Error {
                txn: call.txn,
                description: format!("No command {name} with {} arguments", args.len()),
            });
            return;
        }
    };
    acts.push(match answer {
        Answer::Done => Act::Result {
            txn: call.txn,
            values: Vec::new(),
        },
        Answer::Value(value) => Act::Result {
            txn: call.txn,
            values: vec![value],
        },
        Answer::Failed(why) => Act::Error {
            txn: call.txn,
            description: why.to_owned(),
        },
    });
}
