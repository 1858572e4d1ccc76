//! The rules of the house, checked from manifests and source: who may import whom, what a pure crate may not
//! touch, where unsafe code may stand, how long a file may be, and that each protocol says what it can do.

#![expect(
    clippy::unwrap_used,
    reason = "a check that cannot read the source has to fail"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pure crates: folder, name, and the crates of ours they may import.
const PURE: &[(&str, &str, &[&str])] = &[
    ("src/base", "base", &[]),
    ("codecs", "codecs", &[]),
    ("src/rtmp", "rtmp", &["base"]),
    ("src/rtmfp", "rtmfp", &["base", "rtmp"]),
    ("src/sip", "sip", &["base"]),
    ("src/media", "media", &["base", "codecs"]),
    ("src/call", "call", &["base", "codecs"]),
    ("src/overlay", "overlay", &["base"]),
];

/// Crates that do input, output or time; none may stand below a pure crate.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "futures",
    "hickory-resolver",
    "polling",
    "chrono",
    "time",
    "rand",
    "getrandom",
    "tracing-subscriber",
    "crossbeam-channel",
    "flume",
];

/// What the source of a pure crate may not say: sockets, clocks, threads, async, files, output.
const IMPURE_WORDS: &[&str] = &[
    "std::thread",
    "std::fs",
    "std::process",
    "std::env",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "async fn",
    ".await",
    "println!",
    "eprintln!",
    "print!",
    "static mut",
    "thread_local!",
    "Mutex",
    "RwLock",
];

/// The parts of the daemon: folder or file below `src`, and what its `use` lines and paths may not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "config",
        &[
            "crate::net",
            "crate::cli",
            "crate::exchange",
            "crate::shard",
            "crate::dialect",
            "tokio::",
        ],
    ),
    (
        "net",
        &[
            "crate::cli",
            "crate::exchange",
            "crate::shard",
            "crate::dialect",
            "sip::",
            "call::",
            "media::",
        ],
    ),
    (
        "dialect",
        &[
            "sip::",
            "media::",
            "tokio::",
            "crate::exchange",
            "crate::shard",
            "crate::net",
            "crate::cli",
        ],
    ),
    (
        "shard",
        &["crate::exchange", "sip::", "crate::cli", "crate::admin"],
    ),
    (
        "exchange",
        &["crate::dialect", "crate::cli", "crate::admin", "rtmp::"],
    ),
    (
        "directory",
        &[
            "crate::exchange",
            "crate::shard",
            "crate::dialect",
            "crate::cli",
            "crate::admin",
            "sip::",
            "media::",
            "rtmp::",
        ],
    ),
    (
        "admin",
        &["crate::dialect", "crate::cli", "rtmp::", "sip::", "media::"],
    ),
    ("cli", &["sip::", "crate::exchange::", "crate::shard::"]),
];

/// What `exchange` may name of the shard: the messages between them, and the handle that carries them.
const SHARD_BORDER: &[&str] = &[
    "Command",
    "Dialled",
    "DtlsParams",
    "Event",
    "FrameKind",
    "IceParams",
    "LegStats",
    "LinkFrame",
    "Message",
    "OutboundTold",
    "Remote",
    "RoomCommand",
    "RoomEvent",
    "RtpParams",
    "ShardHandle",
    "Side",
];

/// Protocol folders, each with a README that has a yes/no table of features and names its RFCs or documents.
const PROTOCOLS: &[&str] = &[
    "codecs",
    "src/media",
    "src/overlay",
    "src/rtmfp",
    "src/rtmp",
    "src/sip",
];

/// Lines of code a file may have; comments, blank lines and tests at its end not counted. The aim is 600; a few
/// lines over it are no reason to cut a file in a place where it has no joint.
const BUDGET: usize = 620;

/// All Rust files below a folder. A nested crate is left out unless it is the folder itself.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return out;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() && path.file_name().is_some_and(|n| n != "target") {
                out.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// True for files that hold nothing but tests: below a `tests` folder, or declared under `#[cfg(test)]`.
fn is_test_file(path: &Path) -> bool {
    let relative = path.strip_prefix(root()).unwrap();
    if relative
        .components()
        .any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs")
    {
        return true;
    }
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|s| s.to_str())) else {
        return false;
    };
    let declaration = format!("#[cfg(test)]\nmod {stem};");
    let parents = ["mod.rs", "lib.rs"].map(|name| folder.join(name)).into_iter();
    parents
        .chain([folder.with_extension("rs")])
        .any(|parent| fs::read_to_string(parent).is_ok_and(|text| text.contains(&declaration)))
}

/// The code of a file: comments and string literals blanked, the tests at its end cut off.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(end) => &text[..end],
        None => &text,
    };
    strip(text)
}

/// Blanks comments and literals, keeping lines.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    let skip_to = |from: usize, end: &str| {
        text[from..]
            .find(end)
            .map_or(text.len(), |n| from + n + end.len())
    };
    while i < bytes.len() {
        let rest = &text[i..];
        let end = if rest.starts_with("//") {
            text[i..].find('\n').map_or(text.len(), |n| i + n)
        } else if rest.starts_with("/*") {
            skip_to(i + 2, "*/")
        } else if rest.starts_with("r#\"") {
            skip_to(i + 3, "\"#")
        } else if rest.starts_with('"') {
            let mut j = i + 1;
            while j < bytes.len() && bytes[j] != b'"' {
                j += if bytes[j] == b'\\' { 2 } else { 1 };
            }
            (j + 1).min(text.len())
        } else if rest.starts_with("'\"'") {
            i + 3
        } else if rest.starts_with("'\\\"'") {
            i + 4
        } else {
            let n = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..n]);
            i += n;
            continue;
        };
        out.extend(text[i..end].chars().filter(|c| *c == '\n'));
        i = end;
    }
    out
}

/// True when `code` holds `word` not as a part of a longer word.
fn says(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let own =
            |edge: Option<char>, inner: Option<char>| !(edge.is_some_and(part) && inner.is_some_and(part));
        // `crate::sip::x` and `self::sip::x` are modules of ours, not the crate `sip`.
        let path = before == Some(':') && word.ends_with("::");
        !path && own(before, word.chars().next()) && own(after, word.chars().next_back())
    })
}

fn dependencies(folder: &str) -> BTreeSet<String> {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap();
    let manifest = toml::de::DeTable::parse(&text).unwrap();
    let manifest = manifest.get_ref();
    let mut out = BTreeSet::new();
    for table in ["dependencies", "build-dependencies"] {
        if let Some(rows) = manifest.get(table).and_then(|t| t.get_ref().as_table()) {
            out.extend(rows.keys().map(|k| k.get_ref().to_string()));
        }
    }
    out
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn assert_none(mut faults: Vec<String>, rule: &str) {
    faults.sort();
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn pure_crates_depend_on_what_lies_below_them_only() {
    let ours: Vec<&str> = PURE.iter().map(|(_, name, _)| *name).collect();
    let mut faults = Vec::new();
    for (folder, crate_name, allowed) in PURE {
        for dependency in dependencies(folder) {
            if ours.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{crate_name} depends on {dependency}"));
            }
            if IMPURE.contains(&dependency.as_str()) {
                faults.push(format!("{crate_name} is pure and depends on {dependency}"));
            }
        }
    }
    assert_none(faults, "a crate imports what it may not");
}

#[test]
fn pure_crates_touch_no_socket_clock_thread_or_file() {
    let mut faults = Vec::new();
    for (folder, ..) in PURE {
        let files = if *folder == "codecs" {
            root().join("codecs/src")
        } else {
            root().join(folder)
        };
        let files = sources(&files);
        assert!(!files.is_empty(), "{folder} has no source");
        for file in files.iter().filter(|f| !is_test_file(f)) {
            let code = code(file);
            for word in IMPURE_WORDS.iter().filter(|w| says(&code, w)) {
                faults.push(format!("{} says `{word}`", name(file)));
            }
        }
    }
    assert_none(faults, "a pure crate touches the outside");
}

#[test]
fn the_parts_of_the_daemon_keep_their_borders() {
    let mut faults = Vec::new();
    for (part, forbidden) in FORBIDDEN {
        let mut files = sources(&root().join("src").join(part));
        files.extend(Some(root().join("src").join(format!("{part}.rs"))).filter(|f| f.exists()));
        for file in files.iter().filter(|f| !is_test_file(f)) {
            let code = code(file);
            for word in forbidden.iter().filter(|w| says(&code, w)) {
                faults.push(format!("{} names `{word}`", name(file)));
            }
            if *part == "exchange" {
                let beyond = named(&code, "crate::shard::").filter(|n| !SHARD_BORDER.contains(&n.as_str()));
                faults.extend(beyond.map(|n| format!("{} names `crate::shard::{n}`", name(file))));
            }
        }
    }
    assert_none(faults, "a part of the daemon crosses a border");
}

/// The names that follow a path: one, or those of a list in braces.
fn named<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = String> + 'a {
    let word = |s: &str| {
        s.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    code.match_indices(path).flat_map(move |(at, _)| {
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap()
                .split(',')
                .map(|n| word(n.trim()))
                .collect(),
            None => vec![word(rest)],
        }
    })
}

/// Every source file of the project that runs in the daemon.
fn shipped() -> Vec<PathBuf> {
    let mut all = sources(&root().join("src"));
    for (folder, ..) in PURE {
        let folder = if *folder == "codecs" { "codecs/src" } else { folder };
        all.extend(sources(&root().join(folder)));
    }
    all.retain(|f| !is_test_file(f));
    all.sort();
    all.dedup();
    all
}

#[test]
fn unsafe_code_stands_in_codecs_and_net_only() {
    let allowed = |file: &Path| ["codecs/", "src/net/"].iter().any(|p| name(file).starts_with(p));
    let faults = shipped()
        .into_iter()
        .filter(|f| !allowed(f) && says(&code(f), "unsafe"));
    assert_none(
        faults.map(|f| name(&f)).collect(),
        "unsafe code outside codecs/ and src/net/",
    );
}

#[test]
fn only_the_clock_reads_the_clock() {
    let reads = |code: &str| ["Instant::now", "SystemTime::now"].iter().any(|w| says(code, w));
    let faults = shipped()
        .into_iter()
        .filter(|f| name(f) != "src/net/clock.rs" && reads(&code(f)));
    assert_none(
        faults.map(|f| name(&f)).collect(),
        "the clock is read outside src/net/clock.rs",
    );
}

#[test]
fn files_stay_within_their_budget() {
    let lines = |file: &Path| code(file).lines().filter(|l| !l.trim().is_empty()).count();
    let long = shipped()
        .into_iter()
        .map(|f| (lines(&f), f))
        .filter(|(n, _)| *n > BUDGET);
    let faults = long.map(|(n, f)| format!("{}: {n} lines", name(&f)));
    assert_none(faults.collect(), "files above 620 lines of code");
}

#[test]
fn each_protocol_says_what_it_can_do() {
    let mut faults = Vec::new();
    for folder in PROTOCOLS {
        let text = fs::read_to_string(root().join(folder).join("README.md")).unwrap_or_default();
        let row = |word: &str| {
            text.lines()
                .any(|l| l.starts_with('|') && l.split('|').any(|cell| cell.trim().starts_with(word)))
        };
        if !row("yes") || !row("no") {
            faults.push(format!(
                "{folder}/README.md has no table of features with yes and no"
            ));
        }
    }
    assert_none(faults, "a protocol without feature table");
}

#[test]
fn the_checks_themselves_see_through_comments_and_strings() {
    let text = "let a = \"tokio::x\"; // tokio::y\n/* sip:: */ let q = '\"'; use sip::Uri;\n";
    let code = strip(text);
    assert!(!says(&code, "tokio::"));
    assert!(says(&code, "sip::"));
    assert_eq!(code.lines().count(), 2);
    assert!(!says("use crate::sip::Uri;", "sip::") && !says("use gossip::Uri;", "sip::"));
    let names: Vec<String> = named("use a::{B, C as D}; x(a::E::new())", "a::").collect();
    assert_eq!(names, ["B", "C", "E"]);
    assert!(says("fn f(x: sip::Uri)", "sip::") && says("unsafe {", "unsafe") && !says("unsafely", "unsafe"));
}
