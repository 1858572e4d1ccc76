use super::*;

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let env = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Config::parse(text, Path::new("f.toml"), &env).map_err(|e| e.to_string())
}

fn parse(text: &str) -> Result<Config, String> {
    parse_with(text, &[])
}

fn problems(text: &str) -> String {
    parse(text).expect_err("should be refused")
}

#[test]
fn nothing_is_the_default() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn reference_file_is_current_and_equal_to_the_defaults() {
    let file = include_str!("../../config/reference.toml");
    let current = Config::reference();
    assert!(
        file == current,
        "config/reference.toml is stale; write it anew with: cargo run -- check --reference > config/reference.toml"
    );
    assert_eq!(parse(file).unwrap(), Config::default());
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let opened: String = Config::reference()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // The table examples stand between plain tables; order does not matter to TOML here.
    let opened = opened.replace("{ file = \"/etc/flashgate/provider.secret\" }", "\"x\"");
    let opened = opened.replace("{ file = \"/etc/flashgate/console.secret\" }", "\"x\"");
    let opened = opened.replace("[\"alice\", \"bob\"]", "[\"alice\"]");
    let config = parse_with(&opened, &[("ALICE_PASSWORD", "secret"), ("PROVIDER_IN", "in")]).unwrap();
    assert_eq!(config.user.len(), 1);
    assert_eq!(config.user[0].password.expose(), "secret");
    assert_eq!(config.sip.trunk[0].uri, "sip:sip.provider.example");
    assert_eq!(config.route[0].to, ["provider"]);
    assert!(config.route[0].max_duration.is_some());
}

#[test]
fn each_file_in_config_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let env = [
        ("ALICE_PASSWORD", "a"),
        ("BOB_PASSWORD", "b"),
        ("TRUNK_PASSWORD", "c"),
    ];
    let env = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            Config::parse(&text, &path, &env).unwrap_or_else(|e| panic!("{e}"));
            seen += 1;
        }
    }
    assert!(
        seen >= 2,
        "config/ holds the reference and one file for each user"
    );
}

#[test]
fn effective_reads_back_as_itself() {
    let text = "[sip]\ndomain = \"a.example\"\n[[user]]\nname = \"u\"\npassword = \"(hidden)\"\n\
                [[sip.trunk]]\nname = \"t\"\nuri = \"sip:x\"\n[[route]]\nmatch = '\\d+'\nto = \"t\"\n";
    let config = parse(text).unwrap();
    assert_eq!(parse(&config.effective()).unwrap(), config);
}

#[test]
fn a_mistake_names_line_column_key_and_remedy() {
    let p = problems("[sip]\n  domian = \"x\"\n");
    assert_eq!(p, "f.toml:2:3: sip.domian: unknown key; did you mean `domain`?");
    let p = problems("[rtmp]\nlisten = \"1935\"\n");
    assert!(
        p.starts_with("f.toml:2:1: rtmp.listen.0: is `1935`; it must be an address with port"),
        "{p}"
    );
    let p = problems("[log]\nlevel = \"loud\"\n");
    assert!(
        p.contains("f.toml:2:1: log.level: is `loud`; it must be one of \"error\", \"warn\""),
        "{p}"
    );
    let p = problems("[rtmp]\nchunk_size = 64\n");
    assert_eq!(p, "f.toml:2:1: rtmp.chunk_size: is 64; allowed: 128 to 65536");
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let p = problems("[sip]\nt1 = 5\nfoo = 1\n[log]\nlevel = 3\n[[user]]\nname = \"a\"\n");
    let lines: Vec<&str> = p.lines().collect();
    assert_eq!(lines.len(), 4, "{p}");
    assert!(lines[0].starts_with("f.toml:2:1: sip.t1: "));
    assert!(lines[1].starts_with("f.toml:3:1: sip.foo: unknown key; allowed here: udp, tcp"));
    assert!(lines[2].starts_with("f.toml:5:1: log.level: "));
    assert!(
        lines[3].starts_with("f.toml:6:1: user.0.password: must be given"),
        "{p}"
    );
}

#[test]
fn syntax_errors_have_a_place() {
    let p = problems("[sip]\ndomain = \n[log]\nlevel = \"loud\"\n");
    assert!(p.starts_with("f.toml:2:"), "{p}");
    assert!(p.contains("log.level"), "the rest is checked all the same: {p}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (text, want) in [
        (
            "[sip]\nregister_min = \"1h\"\nregister_max = \"10m\"",
            "f.toml:2:1: sip.register_min: must not be above",
        ),
        (
            "[sip]\nt1 = \"5s\"\nt2 = \"1s\"",
            "f.toml:2:1: sip.t1: must not be above",
        ),
        ("[sip]\nt1 = \"5s\"", "f.toml:2:1: sip.t1: must not be above"),
        (
            "[rtmp]\nidle_timeout = \"5s\"",
            "f.toml:2:1: rtmp.idle_timeout: must be above",
        ),
        (
            "[[route]]\nmatch = '1'\nto = \"x\"",
            "f.toml:3:1: route.0.to: no [[sip.trunk]] has the name `x`",
        ),
        (
            "[[sip.trunk]]\nname = \"t\"\nuri = \"sip:x\"\nregister = true",
            "sip.trunk.0.username: must be given when `register`",
        ),
        (
            "[[user]]\nname = \"a\"\npassword = \"1\"\n[[user]]\nname = \"a\"\npassword = \"2\"",
            "f.toml:5:1: user.1.name: the name `a` is taken",
        ),
        (
            "[media]\ncodecs = [\"pcmu\", \"pcmu\"]",
            "media.codecs: names \"pcmu\" twice",
        ),
        (
            "[media]\nrtp_ports = \"20001-30000\"",
            "media.rtp_ports: is `20001-30000`; it must be a range",
        ),
        (
            "[[route]]\nmatch = '('\nto = \"x\"",
            "f.toml:2:1: route.0.match: is no regular expression: unclosed group",
        ),
        (
            "[console]\ntls = [\"127.0.0.1:8443\"]",
            "console.tls: needs `certificate` and `key` of [tls]",
        ),
        (
            "[console]\nlisten = []\ntls = [\"0.0.0.0:8443\"]\n[tls]\ncertificate = \"c\"\nkey = \"k\"",
            "console.password: must be given",
        ),
        (
            "[sip]\noutbound_proxy = \"example.com\"",
            "sip.outbound_proxy: is \"example.com\"; it must be a SIP URI",
        ),
    ] {
        let p = problems(text);
        assert!(p.contains(want), "{text}\n-> {p}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "[sip]\ndomain = \"a\"\n[[user]]\nname = \"u\"\npassword = \"x\"";
    let env = [
        ("FLASHGATE__SIP__DOMAIN", "12"),
        ("FLASHGATE__SIP__UDP", "0.0.0.0:5060, [::]:5060"),
        ("FLASHGATE__NODE__WORKERS", "3"),
        ("FLASHGATE__MEDIA__TELEPHONE_EVENT", "false"),
        ("FLASHGATE__USER__0__PASSWORD", "y"),
        ("FLASHGATE__USER__1__NAME", "v"),
        ("FLASHGATE__USER__1__PASSWORD", "z"),
        ("FLASHGATE_OTHER", "ignored"),
    ];
    let config = parse_with(text, &env).unwrap();
    assert_eq!(config.sip.domain, "12");
    assert_eq!(
        config.sip.udp,
        ["0.0.0.0:5060".parse().unwrap(), "[::]:5060".parse().unwrap()]
    );
    assert_eq!(config.node.workers, 3);
    assert!(!config.media.telephone_event);
    assert_eq!(config.user[0].password.expose(), "y");
    assert_eq!(config.user[1].name, "v");
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let p = parse_with("", &[("FLASHGATE__NODE__WORKERS", "many")]).unwrap_err();
    assert!(
        p.starts_with("environment FLASHGATE__NODE__WORKERS: node.workers: is `many`"),
        "{p}"
    );
    let p = parse_with("", &[("FLASHGATE__SPI__DOMAIN", "x")]).unwrap_err();
    assert_eq!(
        p,
        "environment FLASHGATE__SPI__DOMAIN: spi: unknown key; did you mean `sip`?"
    );
    let p = parse_with("", &[("FLASHGATE__USER__7__NAME", "x")]).unwrap_err();
    assert!(p.contains("the next index is 0"), "{p}");
}

#[test]
fn secrets_come_from_files_and_variables_and_are_never_shown() {
    let file = std::env::temp_dir().join(format!("flashgate-secret-{}", std::process::id()));
    std::fs::write(&file, "s3cret\nsecond line\n").unwrap();
    let text = format!(
        "[[user]]\nname = \"u\"\npassword = {{ file = \"{}\" }}",
        file.display()
    );
    let config = parse(&text).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(config.user[0].password.expose(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(!config.effective().contains("s3cret"));

    let p = parse(&text).unwrap_err();
    assert!(
        p.contains("user.0.password: the secret file") && p.contains("cannot be read"),
        "{p}"
    );
    let p = problems("[[user]]\nname = \"u\"\npassword = { env = \"NO_SUCH\" }");
    assert!(p.contains("the environment has no variable NO_SUCH"), "{p}");
}

#[test]
fn durations_and_sizes_have_units() {
    let config =
        parse("[sip]\nt1 = \"250ms\"\nring_timeout = \"2m\"\n[rtmp]\nmax_message = \"64KiB\"").unwrap();
    assert_eq!(config.sip.t1.as_millis(), 250);
    assert_eq!(config.sip.ring_timeout.as_secs(), 120);
    assert_eq!(config.rtmp.max_message, Size(65_536));
    for bad in [
        "\"5\"",
        "5",
        "\"s\"",
        "\"-5s\"",
        "\"5 parsecs\"",
        "\"99999999999999999999h\"",
    ] {
        let p = problems(&format!("[sip]\nt1 = {bad}"));
        assert!(p.contains("sip.t1: is"), "{bad}: {p}");
    }
}

#[test]
fn a_pattern_matches_the_whole_number() {
    let text = "[[sip.trunk]]\nname = \"t\"\nuri = \"sip:x\"\n[[route]]\nmatch = '0(\\d+)|1'\nto = \"t\"\nrewrite = \"+49$1\"";
    let config = parse(text).unwrap();
    let route = &config.route[0];
    assert_eq!(
        route.r#match.apply("030123", route.rewrite.as_deref()).as_deref(),
        Some("+4930123")
    );
    assert_eq!(route.r#match.apply("x030123", route.rewrite.as_deref()), None);
    assert_eq!(route.r#match.apply("12", None), None);
    assert_eq!(route.r#match.apply("1", None).as_deref(), Some("1"));
}

#[test]
fn trunks_have_gateways_and_numbers_of_their_own() {
    let text = "[[sip.trunk]]\nname = \"t\"\nuri = \"sip:x\"\nnumbers = \"digits\"\n\
                [[sip.trunk.gateway]]\nuri = \"sip:a\"\nweight = 3\n[[sip.trunk.gateway]]\nuri = \"sip:b\"\n\
                [[sip.trunk.inbound]]\nmatch = '1(.)'\nto = \"conference/$1\"\n";
    let config = parse(text).unwrap();
    let trunk = &config.sip.trunk[0];
    assert_eq!((trunk.gateway.len(), trunk.gateway[0].weight), (2, 3));
    assert_eq!(
        trunk.inbound[0]
            .r#match
            .apply("17", Some(&trunk.inbound[0].to))
            .as_deref(),
        Some("conference/7")
    );
    // What `check` prints is the same again.
    assert_eq!(parse(&config.effective()).unwrap(), config);
    let trunk = "[[sip.trunk]]\nname = \"t\"\nuri = \"sip:x\"\n";
    for (more, wanted) in [
        ("fail_over = [486]", "names 486; allowed: 400 to 599"),
        ("from = [\"192.0.2.0/33\"]", "names \"192.0.2.0/33\""),
        ("probe = \"10ms\"", "allowed: \"1s\" to"),
        ("inbound_username = \"in\"", "must be given together"),
        ("[sip.numbers]\nemergency = [\"112\"]", "must name the trunks"),
        (
            "[sip.numbers]\nemergency_to = [\"u\"]",
            "no [[sip.trunk]] has the name `u`",
        ),
        ("[sip.numbers]\ncountry_code = \"+49\"", "allowed: digits"),
    ] {
        let error = parse(&format!("{trunk}{more}\n")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{more}: {error}");
    }
}
