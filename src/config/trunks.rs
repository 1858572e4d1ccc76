//! The keys of trunks and of numbers: one row each.

use std::net::IpAddr;
use std::time::Duration;

use super::section::{Reader, Row, Shown, Value, section};
use super::tables::{Srtp, pattern_given};
use super::tree::{Item, Kind};
use super::value::{Pattern, Secret, choice, given, optional, sip_uri, within};

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

choice! {
    /// In which form a trunk wants numbers.
    NumberForm {
        /// As the route leaves them.
        Unchanged = "unchanged",
        /// With the plus sign.
        E164 = "e164",
        /// Without the plus sign.
        Digits = "digits",
        /// As they are dialled within the country.
        National = "national",
        /// With the international prefix.
        International = "international",
    }
}

choice! {
    /// Who stands in From toward a trunk.
    CallerShown {
        /// The account.
        Account = "account",
        /// The caller.
        Caller = "caller",
    }
}

choice! {
    /// In which header field a trunk is told who calls.
    Asserted {
        /// In none.
        No = "none",
        /// P-Asserted-Identity.
        Pai = "p-asserted-identity",
        /// P-Preferred-Identity.
        Ppi = "p-preferred-identity",
    }
}

choice! {
    /// The country whose ringing tone callers hear.
    Ringback {
        /// None.
        Off = "none",
        /// Austria.
        At = "at",
        /// Australia.
        Au = "au",
        /// Belgium.
        Be = "be",
        /// Brazil.
        Br = "br",
        /// Canada.
        Ca = "ca",
        /// Switzerland.
        Ch = "ch",
        /// China.
        Cn = "cn",
        /// Germany.
        De = "de",
        /// Denmark.
        Dk = "dk",
        /// Spain.
        Es = "es",
        /// Finland.
        Fi = "fi",
        /// France.
        Fr = "fr",
        /// The United Kingdom.
        Gb = "gb",
        /// Ireland.
        Ie = "ie",
        /// India.
        In = "in",
        /// Italy.
        It = "it",
        /// Japan.
        Jp = "jp",
        /// The Netherlands.
        Nl = "nl",
        /// Norway.
        No = "no",
        /// New Zealand.
        Nz = "nz",
        /// Poland.
        Pl = "pl",
        /// Portugal.
        Pt = "pt",
        /// Russia.
        Ru = "ru",
        /// Sweden.
        Se = "se",
        /// The United States.
        Us = "us",
    }
}

section! {
    /// `[[sip.trunk]]`
    Trunk {
        /// The name by which routes and logs know it.
        name: String = String::new(), where |v| given(v), eg "\"provider\"";
        /// Its server; a host name is looked up by RFC 3263. Calls go there unless there are
        /// `[[sip.trunk.gateway]]` entries.
        uri: String = String::new(), where |v| sip_uri(v), eg "\"sip:sip.provider.example\"";
        /// The user name, in From and in digest answers.
        username: Option<String> = None, eg "\"4930123456\"";
        /// The password: "…", { file = "…" } or { env = "…" }.
        password: Option<Secret> = None, eg "{ file = \"/etc/flashgate/provider.secret\" }";
        /// The only realm that is sent the digest. Unset: the first that asks.
        realm: Option<String> = None, eg "\"provider.example\"";
        /// Register there and keep the registration, so that calls come in.
        register: bool = false;
        /// The registration to ask for.
        expires: Duration = secs(600), where within(secs(60)..=secs(86_400));
        /// SRTP with this trunk. Unset: as in [media].
        srtp: Option<Srtp> = None, eg "\"require\"";
        /// How often each gateway is asked by OPTIONS whether it is there; "0s": never. A gateway that is down gets
        /// calls only when no other is up.
        probe: Duration = secs(0), where probe;
        /// So many questions in a row without an answer make a gateway down; one answer makes it up.
        probe_failures: u8 = 2, where within(1..=10);
        /// A gateway that has not answered an INVITE at all after so long is left for the next.
        answer_within: Duration = secs(4), where within(Duration::from_millis(500)..=secs(32));
        /// A gateway that has said no more than 100 Trying after so long is left for the next.
        ring_within: Duration = secs(15), where within(secs(1)..=secs(120));
        /// The SIP statuses with which a gateway says that it, not the callee, is at fault: the next is tried. So it is
        /// when nobody answers or can be reached, and when the Q.850 cause says that the network has no way.
        fail_over: Vec<u16> = vec![408, 430, 500, 501, 502, 503, 504, 505], where |v| statuses(v);
        /// How long a gateway that was not reached rests, when it is not probed. With Retry-After: as that says.
        rest: Duration = secs(60), where within(secs(1)..=secs(3600));
        /// The addresses and networks from which its calls come in without a password. The address and port of `uri`
        /// and of each gateway, and those that answer our registration and questions, count without being listed.
        from: Vec<String> = Vec::new(), where |v| networks(v), eg "[\"203.0.113.0/24\"]";
        /// With this user name and password calls come in from any other address (digest).
        inbound_username: Option<String> = None, eg "\"provider-in\"";
        /// See `inbound_username`.
        inbound_password: Option<Secret> = None, eg "{ env = \"PROVIDER_IN\" }";
        /// In which form it wants the number called: "unchanged", "e164" (+4930123456), "digits" (4930123456),
        /// "national" (030123456), "international" (004930123456).
        numbers: NumberForm = NumberForm::Unchanged;
        /// Who stands in From: "account" our user name there, "caller" the `number` of the [[user]] who calls. A
        /// route's `caller_id` goes before either.
        caller: CallerShown = CallerShown::Account;
        /// Where it is told who calls besides: "none", "p-asserted-identity", "p-preferred-identity" (RFC 3325). Then a
        /// caller who wants privacy is anonymous in From only.
        asserted: Asserted = Asserted::No;
        /// Whether the P-Asserted-Identity of its calls is believed, rather than From.
        trusted: bool = false;
        /// Whether its callers hear the ringing in their audio (183), as `media.ringback` says, rather than being told
        /// of it (180).
        ringback: bool = false;
        /// Calls over it at a time. Beyond any limit of its own the next trunk of the route is tried.
        max_calls: Option<u32> = None, eg "30";
        /// New calls over it in a second.
        calls_per_second: Option<u32> = None, where optional(within(1..=10_000)), eg "5";
        /// Minutes of talk over it in any 24 hours. A call lasts no longer than what is left when it begins.
        daily_minutes: Option<u32> = None, where optional(within(1..=10_000_000)), eg "6000";
        /// The longest call over it.
        max_duration: Option<Duration> = None, where optional(within(secs(1)..=secs(86_400))), eg "\"2h\"";
        /// Numbers that begin so, in the form of the routes, are not called over it.
        blocked: Vec<String> = Vec::new(), where |v| v.iter().try_for_each(|p| number(p)), eg "[\"+4990\", \"+1900\"]";
        /// The users who may call over it. Empty: all who have logged in.
        callers: Vec<String> = Vec::new(), eg "[\"alice\"]";
        /// A gateway of this trunk: a server that takes calls.
        gateway: Vec<TrunkGateway> = Vec::new();
        /// Where a number called from this trunk leads; the first that matches decides. Without a match it leads to
        /// the room, or the user, of that number. It never leads to a trunk.
        inbound: Vec<Inbound> = Vec::new();
    }
}

section! {
    /// `[[sip.trunk.gateway]]`
    TrunkGateway {
        /// Where it is.
        uri: String = String::new(), where |v| sip_uri(v), eg "\"sip:gw1.provider.example\"";
        /// Those of the lowest number are tried first.
        priority: u16 = 0;
        /// Of those of one priority, each gets this share of the calls; 0: only when the others fail.
        weight: u16 = 1;
    }
}

section! {
    /// `[[sip.trunk.inbound]]`
    Inbound {
        /// A regular expression that the number called must match as a whole.
        r#match: Pattern = Pattern::none(), where pattern_given, eg "'\\+4930123(\\d{2})'";
        /// What is called then: a user, conference/NAME, echo; $1, $2 … are the groups of `match`.
        to: String = String::new(), where |v| given(v), eg "\"conference/$1\"";
    }
}

section! {
    /// `[sip.numbers]`
    Numbers {
        /// The country code: "49". With it every number dialled is brought to one form, +4930123456, before routes
        /// are looked at, and routes match that form. Unset: routes see what was dialled.
        country_code: String = String::new(), where |v| digits(v);
        /// The area code without its prefix, for numbers dialled without any.
        area_code: String = String::new(), where |v| digits(v);
        /// What goes before national numbers: "0", "1" or nothing.
        trunk_prefix: String = "0".to_owned(), where |v| digits(v);
        /// What goes before international numbers.
        international_prefix: Vec<String> = vec!["00".to_owned()], where |v| v.iter().try_for_each(|p| digits(p));
        /// Numbers without prefix and with fewer digits stay as they are: extensions and services.
        local_digits: u8 = 6, where within(1..=15);
        /// Numbers that go before everything else: no room, user, limit or route is asked.
        emergency: Vec<String> = Vec::new(), where |v| v.iter().try_for_each(|p| digits(p)), eg "[\"112\", \"110\"]";
        /// The trunks they are sent to, in this order, for every user who has logged in.
        emergency_to: Vec<String> = Vec::new(), eg "[\"provider\"]";
    }
}

section! {
    /// `[sip.guard]`
    Guard {
        /// So many wrong passwords, or calls of strangers to nobody, within `window` ban their source; unanswered
        /// challenges and broken messages count a third. A banned source gets no answer; calls in progress go on.
        offences: u32 = 20, where within(1..=100_000);
        /// See `offences`.
        window: Duration = secs(60), where within(secs(1)..=secs(3600));
        /// How long the first ban lasts; each further one twice as long.
        ban: Duration = secs(300), where within(secs(1)..=secs(86_400));
        /// The longest ban.
        longest: Duration = secs(86_400), where within(secs(1)..=secs(2_592_000));
        /// New requests taken from one source in a second; bursts of twice as many pass, the rest is dropped. A proxy
        /// with many phones behind it belongs into `trusted`.
        requests_per_second: u32 = 100, where within(1..=100_000);
        /// Whose User-Agent holds one of these is a scanner, and banned at its first request.
        scanners: Vec<String> = ["friendly-scanner", "friendly-request", "sipvicious", "sipcli", "sip-scan",
            "sundayddr", "iwar", "sivus", "siparmyknife", "smap", "vaxsipuseragent", "vaxipuseragent", "pplsip"]
            .map(str::to_owned).to_vec(), where |v| v.iter().try_for_each(|s| given(s));
        /// Addresses and networks that are never banned, beside those of the trunks.
        trusted: Vec<String> = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()], where |v| networks(v);
    }
}

section! {
    /// `[[limits.rule]]`
    LimitRule {
        /// For calls over these trunks. Empty: over all.
        trunks: Vec<String> = Vec::new(), eg "[\"provider\"]";
        /// For numbers that begin so, in the form of the routes. Empty: for all.
        prefix: String = String::new(), where |v| digits(v.strip_prefix('+').unwrap_or(v)), eg "\"+4419\"";
        /// For calls of these users. Empty: of all.
        callers: Vec<String> = Vec::new(), eg "[\"alice\"]";
        /// Count each caller apart.
        per_caller: bool = false;
        /// Let there be no such calls at all.
        block: bool = false;
        /// Such calls at a time.
        calls: Option<u32> = None, eg "2";
        /// New ones in a second.
        calls_per_second: Option<u32> = None, where optional(within(1..=10_000)), eg "1";
        /// Minutes of talk in any 24 hours.
        daily_minutes: Option<u32> = None, where optional(within(1..=10_000_000)), eg "120";
        /// The longest one.
        max_duration: Option<Duration> = None, where optional(within(secs(1)..=secs(86_400))), eg "\"30m\"";
    }
}

fn probe(every: &Duration) -> Result<(), String> {
    if every.is_zero() {
        return Ok(());
    }
    within(secs(1)..=secs(3600))(every)
}

fn statuses(list: &[u16]) -> Result<(), String> {
    // The callee's own word is never a reason to ring it again by another way.
    let bad = |s: &&u16| !(400..600).contains(*s) || matches!(s, 480 | 486 | 487);
    match list.iter().find(bad) {
        Some(bad) => Err(format!(
            "names {bad}; allowed: 400 to 599, but for 480, 486 and 487"
        )),
        None => Ok(()),
    }
}

/// Addresses and networks: `192.0.2.7`, `192.0.2.0/24`.
pub(super) fn networks(list: &[String]) -> Result<(), String> {
    let good = |text: &String| {
        let (ip, length) = text.split_once('/').unwrap_or((text, "0"));
        let most = match ip.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|l| l <= most)
    };
    match list.iter().find(|text| !good(text)) {
        Some(bad) => Err(format!(
            "names \"{}\"; allowed: addresses and networks such as \"192.0.2.0/24\"",
            bad.escape_default()
        )),
        None => Ok(()),
    }
}

pub(super) fn digits(text: &str) -> Result<(), String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!("is \"{}\"; allowed: digits", text.escape_default()))
}

/// A number as it is shown to others.
pub(super) fn number(text: &str) -> Result<(), String> {
    given(text)?;
    digits(text.strip_prefix('+').unwrap_or(text))
}
