//! The description of the HTTP API (OpenAPI 3.1), made from the tables that serve it.

use serde_json::{Map, Value, json};

use super::http::{BASE, PLAIN};
use super::table::{self, Method, Row, Shape, Unit};

/// The description as text.
pub(super) fn text() -> String {
    format!("{:#}\n", description())
}

fn description() -> Value {
    let mut paths = Map::new();
    for row in table::all() {
        let path = format!("{BASE}{}", row.path);
        let method = match row.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = operation(row);
    }
    for plain in PLAIN {
        let security = if plain.open { json!([]) } else { security() };
        paths.insert(
            plain.path.to_owned(),
            json!({ "get": {
                "summary": plain.about,
                "security": security,
                "responses": { "200": {
                    "description": "OK",
                    "content": { content_type(plain.content): {} },
                }},
            }}),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "flashgate",
            "description": "What an operator sees and does. Requests that change something carry the header \
                X-Flashgate, with any value.",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8080" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic", "description": "Any user name" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": { "type": "string", "description": "What is wrong and what to do" } },
                },
            },
        },
    })
}

/// With a password by either scheme; without one where none is set.
fn security() -> Value {
    json!([{}, { "basic": [] }, { "bearer": [] }])
}

fn content_type(content: &str) -> &str {
    content.split(';').next().unwrap_or(content)
}

fn operation(row: &Row) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    let mut fields = Map::new();
    let mut required: Vec<&str> = Vec::new();
    for arg in row.args {
        let mut schema = json!({ "type": "string" });
        if !arg.words.is_empty() {
            schema["enum"] = json!(arg.words);
        }
        let in_path = row.path.contains(&format!("{{{}}}", arg.name));
        if in_path || row.method == Method::Get {
            parameters.push(json!({
                "name": arg.name,
                "in": if in_path { "path" } else { "query" },
                "required": arg.required,
                "description": arg.about,
                "schema": schema,
            }));
        } else {
            schema["description"] = arg.about.into();
            fields.insert(arg.name.to_owned(), schema);
            if arg.required {
                required.push(arg.name);
            }
        }
    }
    if row.method != Method::Get {
        parameters.push(json!({
            "name": "X-Flashgate",
            "in": "header",
            "required": true,
            "schema": { "type": "string" },
        }));
    }
    let mut operation = json!({
        "operationId": row.name.replace(' ', "-"),
        "summary": row.about,
        "security": security(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "OK", "content": { "application/json": { "schema": schema(&row.shape) } } },
            "default": {
                "description": "It could not be done",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if !fields.is_empty() {
        operation["requestBody"] = json!({
            "required": !required.is_empty(),
            "content": { "application/json": { "schema": {
                "type": "object", "required": required, "properties": fields,
            }}},
        });
    }
    operation
}

/// The fields that people see; an answer may hold more.
fn schema(shape: &Shape) -> Value {
    let object = |columns: &[super::table::Column]| {
        let mut top = json!({ "type": "object", "properties": {} });
        for column in columns {
            let unit = match column.unit {
                Unit::Plain => "",
                Unit::Seconds => ", seconds",
                Unit::Ms => ", milliseconds",
                Unit::Percent => ", percent",
                Unit::Bytes => ", bytes",
            };
            let mut at = &mut top;
            for part in column.at.split('/').skip(1) {
                at = &mut at["properties"][part];
                if at.is_null() {
                    *at = json!({});
                }
            }
            at["description"] = format!("{}{unit}", column.head.to_lowercase()).into();
        }
        top
    };
    match shape {
        Shape::Lines(columns) => object(columns),
        Shape::Table(at, columns, _) => {
            let mut top = json!({ "type": "object", "properties": {} });
            let name = at.trim_start_matches('/');
            top["properties"][name] = json!({ "type": "array", "items": object(columns) });
            top
        }
        Shape::Message => json!({ "type": "object", "properties": { "message": { "type": "string" } } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let committed = include_str!("../../docs/openapi.json");
        if std::env::var_os("WRITE_OPENAPI").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"), text()).unwrap();
            return;
        }
        assert!(
            committed == text(),
            "docs/openapi.json is not up to date: run this test with WRITE_OPENAPI=1"
        );
    }

    #[test]
    fn every_route_is_described() {
        let paths = &description()["paths"];
        for row in table::all() {
            let operation = &paths[format!("{BASE}{}", row.path)];
            assert!(
                operation.as_object().is_some_and(|o| !o.is_empty()),
                "{}",
                row.path
            );
        }
        assert!(
            paths["/healthz"]["get"]["security"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }
}
