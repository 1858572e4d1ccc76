//! TOML and the environment as one tree of values that know where they stood.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::problem::Place;
use super::section::Reader;

/// The prefix of the variables that override the file.
const PREFIX: &str = "FLASHGATE__";
/// The longest list an index in a variable may make.
const MAX_INDEX: usize = 1_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Item>),
    Table(Vec<(String, Item)>),
    /// Text from the environment, whose type the key decides.
    Raw(String),
    /// A date, or a number out of range: no key takes one.
    Other,
}

impl Kind {
    /// The name of the type, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) | Kind::Raw(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a fraction",
            Kind::Bool(_) => "a true or false",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Other => "a date or a number out of range",
        }
    }
}

/// Parses a file. Syntax errors go to the reader; what could be read is returned all the same.
pub(super) fn parse(text: &str, reader: &mut Reader<'_>) -> Item {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(Place::Whole, |span| place(text, span.start));
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        reader.problem(at, "", message);
    }
    Item {
        place: Place::Whole,
        kind: convert_table(text, table.get_ref()),
    }
}

/// Parses one value given in a variable, such as `["a", "b"]` or `{ file = "x" }`.
pub(super) fn parse_value(text: &str, at: &Place) -> Option<Item> {
    let document = format!("v = {text}");
    let table = DeTable::parse(&document).ok()?;
    let (_, value) = table.get_ref().iter().next()?;
    let mut node = convert(&document, value.get_ref(), 0);
    relocate(&mut node, at);
    Some(node)
}

fn relocate(node: &mut Item, at: &Place) {
    node.place = at.clone();
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|n| relocate(n, at)),
        Kind::Table(rows) => rows.iter_mut().for_each(|(_, n)| relocate(n, at)),
        _ => {}
    }
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Place::File(line, column)
}

fn convert_table(text: &str, table: &DeTable<'_>) -> Kind {
    let rows = table.iter().map(|(key, value)| {
        // The place of the key: that is where the eye has to go.
        let node = convert(text, value.get_ref(), key.span().start);
        (key.get_ref().to_string(), node)
    });
    Kind::Table(rows.collect())
}

fn convert(text: &str, value: &DeValue<'_>, offset: usize) -> Item {
    let kind = match value {
        DeValue::String(s) => Kind::Text(s.to_string()),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).map_or(Kind::Other, Kind::Integer),
        DeValue::Float(f) => f.as_str().parse().map_or(Kind::Other, Kind::Float),
        DeValue::Boolean(b) => Kind::Bool(*b),
        DeValue::Datetime(_) => Kind::Other,
        DeValue::Array(items) => Kind::List(
            items
                .iter()
                .map(|v| convert(text, v.get_ref(), v.span().start))
                .collect(),
        ),
        DeValue::Table(table) => convert_table(text, table),
    };
    Item {
        place: place(text, offset),
        kind,
    }
}

/// Lays `FLASHGATE__SIP__DOMAIN=example.com` over the tree as `sip.domain`; a number is an index into a list
/// of tables: `FLASHGATE__USER__0__PASSWORD`.
pub(super) fn overlay(root: &mut Item, env: &BTreeMap<String, String>, reader: &mut Reader<'_>) {
    for (name, value) in env {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path = path.to_lowercase();
        let steps: Vec<&str> = path.split("__").collect();
        if steps.iter().any(|s| s.is_empty()) {
            reader.problem(
                Place::Env(name.clone()),
                "",
                "has an empty step between two `__`".to_owned(),
            );
            continue;
        }
        let at = Place::Env(name.clone());
        if let Err(why) = set(root, &steps, value, &at) {
            reader.problem(at, &path.replace("__", "."), why);
        }
    }
}

fn set(node: &mut Item, steps: &[&str], value: &str, at: &Place) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *node = Item {
            place: at.clone(),
            kind: Kind::Raw(value.to_owned()),
        };
        return Ok(());
    };
    let empty = || Item {
        place: at.clone(),
        kind: Kind::Table(Vec::new()),
    };
    if let Ok(index) = step.parse::<usize>() {
        if matches!(&node.kind, Kind::Table(rows) if rows.is_empty()) {
            node.kind = Kind::List(Vec::new());
        }
        let Kind::List(items) = &mut node.kind else {
            return Err(format!("`{step}` is an index, but this is {}", node.kind.name()));
        };
        if index > items.len() || index >= MAX_INDEX {
            return Err(format!(
                "the list has {} entries, so the next index is {0}",
                items.len()
            ));
        }
        if index == items.len() {
            items.push(empty());
        }
        return match items.get_mut(index) {
            Some(item) => set(item, rest, value, at),
            None => Ok(()),
        };
    }
    let Kind::Table(rows) = &mut node.kind else {
        return Err(format!("`{step}` is a key, but this is {}", node.kind.name()));
    };
    let position = match rows.iter().position(|(key, _)| key == step) {
        Some(position) => position,
        None => {
            rows.push(((*step).to_owned(), empty()));
            rows.len() - 1
        }
    };
    match rows.get_mut(position) {
        Some((_, child)) => set(child, rest, value, at),
        None => Ok(()),
    }
}
