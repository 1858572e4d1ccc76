//! Every key: one row each. What stands here is what the reference file says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use codecs::CodecId;

use super::section::{Reader, Row, Shown, Value, section};
use super::tree::{Item, Kind};
use super::trunks::{Guard, LimitRule, Numbers, Ringback, Trunk, number};
use super::value::{Pattern, PortRange, Secret, Size, choice, given, optional, sip_uri, within};

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

section! {
    /// The whole configuration.
    Config {
        /// This gateway.
        node: Node = Node::default();
        /// Flash, AIR and streaming clients over RTMP.
        rtmp: Rtmp = Rtmp::default();
        /// Flash and AIR clients over RTMFP (UDP).
        rtmfp: Rtmfp = Rtmfp::default();
        /// SIP phones, proxies and trunks.
        sip: Sip = Sip::default();
        /// TLS: our certificate, and whom we trust.
        tls: Tls = Tls::default();
        /// A local account: for SIP phones that register, and for clients that log in.
        user: Vec<User> = Vec::new();
        /// Where numbers go. The first route that matches decides; nothing reaches a trunk without one.
        route: Vec<Route> = Vec::new();
        /// Audio.
        media: Media = Media::default();
        /// Rooms in which any number of callers hear each other.
        conference: Conference = Conference::default();
        /// Where users of other gateways are found, and others find ours.
        directory: Directory = Directory::default();
        /// The overlay of peers that share a directory.
        overlay: Overlay = Overlay::default();
        /// What the gateway takes on at most. Beyond it new work is refused; calls in progress are not touched.
        limits: Limits = Limits::default();
        /// Call records.
        records: Records = Records::default();
        /// Where the operator looks and acts.
        console: Console = Console::default();
        /// What is logged, to stderr.
        log: Log = Log::default();
    }
}

section! {
    /// `[node]`
    Node {
        /// The name of this gateway in logs and as the session name in SDP.
        name: String = "flashgate".to_owned(), where |v| given(v);
        /// The folder for what has to last. Unset: $STATE_DIRECTORY as systemd sets it, else /var/lib/flashgate, or
        /// $XDG_STATE_HOME/flashgate when not run by root.
        state_dir: Option<String> = None, eg "\"/var/lib/flashgate\"";
        /// The address under which SIP and RTP peers reach this gateway when that is not the address of
        /// its own interface (behind a one-to-one NAT). Unset: the address of the interface that is used.
        public_address: Option<IpAddr> = None, eg "\"203.0.113.5\"";
        /// Threads that carry sessions and media, 0 to 64. 0: one for each processor but one, at least one.
        workers: u8 = 0, where within(0..=64);
        /// After a termination signal, how long calls in progress may go on before they are hung up.
        drain_grace: Duration = secs(120), where within(ms(0)..=secs(86_400));
    }
}

choice! {
    /// Who may use a service.
    Access {
        /// From this machine anybody while no user is configured, otherwise users only.
        Auto = "auto",
        /// Anybody.
        Open = "open",
        /// Those who show the name and password of a `[[user]]`.
        Users = "users",
    }
}

choice! {
    /// A kind of client.
    Api {
        /// Streaming tools: call/TARGET and live/NAME.
        Stream = "stream",
        /// rtmplite's siprtmp: sip/USER@DOMAIN.
        SipRtmp = "siprtmp",
        /// FreeSWITCH's mod_rtmp: phone.
        FreeSwitch = "freeswitch",
        /// red5phone: sip.
        Red5Phone = "red5phone",
        /// BigBlueButton's voice application: sip.
        Bbb = "bbb",
    }
}

choice! {
    /// A codec of BigBlueButton's clients.
    BbbCodec {
        /// Speex, wideband.
        Speex = "speex",
        /// Nellymoser, 8 kHz.
        Nelly = "nelly",
    }
}

fn some_api(list: &[Api]) -> Result<(), String> {
    if list.is_empty() {
        return Err("must name at least one kind of client".to_owned());
    }
    Ok(())
}

fn app_names(list: &[String]) -> Result<(), String> {
    let bad = |name: &&String| {
        name.is_empty() || name.contains(['/', '?']) || ["call", "live"].contains(&name.as_str())
    };
    match list.iter().find(bad) {
        Some(name) => Err(format!("{name:?} cannot be the first segment of their URL")),
        None => Ok(()),
    }
}

section! {
    /// `[rtmp]`
    Rtmp {
        /// Where to listen (TCP). Loopback only by default; "0.0.0.0:1935" or "[::]:1935" opens it up.
        listen: Vec<SocketAddr> = vec![loopback(1935)];
        /// Where to listen for RTMPS (TLS), once `[tls]` names a certificate.
        tls: Vec<SocketAddr> = vec![loopback(1936)];
        /// Where to listen for RTMPT (RTMP in HTTP requests), for clients behind firewalls that let only HTTP
        /// through: ["0.0.0.0:8081"]. Empty: nowhere.
        rtmpt: Vec<SocketAddr> = Vec::new();
        /// The domains whose films Flash Player lets connect to us, as the policy file names them: "*",
        /// "*.example.com", "www.example.com". Empty: requests for that file are refused.
        policy_domains: Vec<String> = vec!["*".to_owned()], where |v| policy_domains(v);
        /// Where to answer requests for the policy file beside the RTMP port. Flash Player asks on port 843
        /// first, and waits three seconds where nothing refuses it: ["0.0.0.0:843"] (needs the privilege to
        /// listen below port 1024). Empty: nowhere.
        policy_listen: Vec<SocketAddr> = Vec::new();
        /// Who may publish and play: "open" anybody; "users" with ?user=NAME&pass=PASSWORD of a [[user]];
        /// "auto" anybody from this machine while there is no [[user]], otherwise users.
        access: Access = Access::Auto;
        /// Which kinds of clients are served: "stream" (call/TARGET, live/NAME), "siprtmp", "freeswitch",
        /// "red5phone", "bbb".
        apis: Vec<Api> = vec![Api::Stream, Api::SipRtmp, Api::FreeSwitch, Api::Red5Phone, Api::Bbb], where |v| some_api(v);
        /// The first segment of the URL for clients of siprtmp, red5phone and BigBlueButton.
        sip_apps: Vec<String> = vec!["sip".to_owned()], where |v| app_names(v);
        /// The first segment of the URL for clients of FreeSWITCH's mod_rtmp.
        freeswitch_apps: Vec<String> = vec!["phone".to_owned()], where |v| app_names(v);
        /// Whether a siprtmp client that logs in closes an earlier connection of the same user, as siprtmp does.
        exclusive_logins: bool = true;
        /// What clients of BigBlueButton are told to speak: "speex" or "nelly".
        bbb_codec: BbbCodec = BbbCodec::Speex;
        /// Chunk size toward clients, in bytes, 128 to 65536.
        chunk_size: u32 = 4096, where within(128..=65_536);
        /// The largest message taken from a client.
        max_message: Size = Size(1 << 20), where within(Size(16 << 10)..=Size(16 << 20));
        /// From the first byte to the end of the `connect` command.
        handshake_timeout: Duration = secs(10), where within(secs(1)..=secs(120));
        /// How often a silent client is pinged.
        ping_interval: Duration = secs(10), where within(secs(1)..=secs(600));
        /// A client that has sent nothing for so long is gone.
        idle_timeout: Duration = secs(30), where within(secs(2)..=secs(3600));
        /// Streams on other RTMP servers, as legs of calls.
        outbound: Outbound = Outbound::default();
        /// A stream on another RTMP server that is called by a name.
        remote: Vec<RemoteStream> = Vec::new();
    }
}

choice! {
    /// Who may dial the URL of a stream on another server.
    DialUrls {
        /// Those who have shown the name and password of a `[[user]]`.
        Users = "users",
        /// Anybody who may call.
        Open = "open",
        /// Nobody.
        Nobody = "nobody",
    }
}

section! {
    /// `[rtmp.outbound]`
    Outbound {
        /// Who may dial rtmp+publish:URL and rtmp+play:URL: "users" those who have logged in, "open" everybody who may
        /// call, "nobody". It lets them make the gateway connect to any server it can reach.
        dial: DialUrls = DialUrls::Users;
        /// How long a lost connection is tried again before its call ends. Webcasts of rooms never give up.
        give_up: Duration = secs(120), where within(secs(0)..=secs(86_400));
    }
}

section! {
    /// `[[rtmp.remote]]`
    RemoteStream {
        /// The name by which it is called, as a user is; digits make it a number. Whoever may call may call it.
        name: String = String::new(), where |v| user_name(v), eg "\"webcast\"";
        /// "rtmp+publish:URL" brings the stream what the other party says, "rtmp+play:URL" lets the other party hear it;
        /// rtmp:// or rtmps://. "rtmp+publish;codec=speex:URL" says what to send in place of "aac": "speex", "pcmu", "pcma" …
        url: String = String::new(), where |v| given(v), eg "\"rtmp+publish:rtmp://cdn.example.com/live/KEY\"";
    }
}

choice! {
    /// How RTMFP packets are protected beyond their encryption.
    Protection {
        /// Keyed hashes and sequence numbers for those who ask for them; Flash Player does not.
        Offer = "offer",
        /// Keyed hashes and sequence numbers both ways; who has none is refused.
        Require = "require",
    }
}

section! {
    /// `[rtmfp]`
    Rtmfp {
        /// Where to listen (UDP). Loopback only by default; "0.0.0.0:1935" or "[::]:1935" opens it up. Empty:
        /// nowhere.
        listen: Vec<SocketAddr> = vec![loopback(1935)];
        /// Audio that was not received within this time is given up rather than sent again.
        audio_lifetime: Duration = ms(300), where within(ms(20)..=secs(10));
        /// Protection against forged and repeated packets: "offer" to those who ask for it; "require" refuses
        /// who has none, as some open clients.
        protection: Protection = Protection::Offer;
        /// How often a silent client is asked whether it is there.
        keepalive: Duration = secs(10), where within(secs(1)..=secs(600));
        /// A client that has given no sign of life for so long is gone.
        idle_timeout: Duration = secs(30), where within(secs(2)..=secs(3600));
        /// Introduce clients to those who ask for them by their peer id, so that their media go from one to the
        /// other and not through us. Each then sees the other's address.
        introduce: bool = false;
    }
}

fn policy_domains(list: &[String]) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.*:[]".contains(c);
    match list.iter().find(|d| d.is_empty() || !d.chars().all(plain)) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "names \"{}\"; allowed: \"*\", domain names, and domain names that begin with \"*.\"",
            bad.escape_default()
        )),
    }
}

section! {
    /// `[tls]`
    Tls {
        /// Our certificate, then those between it and its authority: a PEM file. With it the TLS listeners
        /// (`rtmp.tls`, `sip.tls`) open. A changed file is read at the next connection; no restart is needed.
        certificate: Option<PathBuf> = None, eg "\"/etc/flashgate/fullchain.pem\"";
        /// The private key of that certificate: a PEM file without passphrase.
        key: Option<PathBuf> = None, eg "\"/etc/flashgate/key.pem\"";
        /// SIP peers that connect by TLS must show a certificate of one of the authorities in this PEM file.
        /// Unset: none is asked for. Flash clients and browsers are never asked.
        client_ca: Option<PathBuf> = None, eg "\"/etc/flashgate/peers-ca.pem\"";
        /// The authorities trusted when we connect by TLS: a PEM file. Unset: those of the system.
        trust: Option<PathBuf> = None, eg "\"/etc/flashgate/trust.pem\"";
    }
}

choice! {
    /// A digest algorithm (RFC 8760).
    Digest {
        /// What every phone knows.
        Md5 = "MD5",
        /// Stronger; asked of phones that are known to have it.
        Sha256 = "SHA-256",
    }
}

choice! {
    /// How a SIP party is transferred.
    TransferBy {
        /// By REFER.
        Refer = "refer",
        /// Within the gateway.
        Inside = "inside",
    }
}

fn some_digest(list: &[Digest]) -> Result<(), String> {
    if list.is_empty() {
        return Err("must name at least one algorithm".to_owned());
    }
    Ok(())
}

choice! {
    /// Whether media is protected by SRTP.
    Srtp {
        /// Plain RTP only.
        Off = "off",
        /// Where the peer offers it.
        Accept = "accept",
        /// Offered too, to those who then may answer with plain RTP.
        Prefer = "prefer",
        /// Or no call.
        Require = "require",
    }
}

choice! {
    /// How our offers bring keys about.
    KeysBy {
        /// In SDP.
        Sdes = "sdes",
        /// By a handshake.
        Dtls = "dtls",
    }
}

choice! {
    /// What is done about ICE.
    Ice {
        /// Nothing.
        Off = "off",
        /// Checks are answered.
        Lite = "lite",
    }
}

choice! {
    /// How SRTP protects packets.
    SrtpSuite {
        /// RFC 7714.
        Gcm = "AEAD_AES_128_GCM",
        /// RFC 7714.
        Gcm256 = "AEAD_AES_256_GCM",
        /// RFC 4568.
        Sha80 = "AES_CM_128_HMAC_SHA1_80",
        /// RFC 4568.
        Sha32 = "AES_CM_128_HMAC_SHA1_32",
    }
}

fn some_suite(list: &[SrtpSuite]) -> Result<(), String> {
    if list.is_empty() {
        return Err("must name at least one suite; \"off\" for srtp says that there is none".to_owned());
    }
    Ok(())
}

section! {
    /// `[sip]`
    Sip {
        /// Where to listen for UDP. Loopback only by default; "0.0.0.0:5060" or "[::]:5060" opens it up.
        udp: Vec<SocketAddr> = vec![loopback(5060)];
        /// Where to listen for TCP.
        tcp: Vec<SocketAddr> = vec![loopback(5060)];
        /// Where to listen for TLS, once `[tls]` names a certificate. Connections to others (`sips:`,
        /// `;transport=tls`) need none.
        tls: Vec<SocketAddr> = vec![loopback(5061)];
        /// Where to listen for SIP over WebSocket (RFC 7118), for phones in web pages: ["127.0.0.1:8082"].
        /// Empty: nowhere.
        websocket: Vec<SocketAddr> = Vec::new();
        /// The same over TLS, once `[tls]` names a certificate: ["0.0.0.0:8443"]. Empty: nowhere.
        websocket_tls: Vec<SocketAddr> = Vec::new();
        /// The origins of the web pages that may connect by WebSocket, such as "https://phone.example"; "*" is
        /// every one. Pages that come from the very host they connect to always may.
        websocket_origins: Vec<String> = Vec::new();
        /// The domain this gateway is registrar for, also the realm of its digest challenges. The addresses
        /// it listens on and its public address count as this domain too.
        domain: String = "localhost".to_owned(), where |v| given(v);
        /// All requests to elsewhere go through this proxy.
        outbound_proxy: Option<String> = None, where optional(|v: &String| sip_uri(v)), eg "\"sip:proxy.example.com;lr\"";
        /// The User-Agent and Server header fields.
        user_agent: String = "flashgate".to_owned(), where |v| given(v);
        /// Who may register: "open" anybody under any name; "users" the [[user]] of that name with its
        /// password; "auto" anybody from this machine while there is no [[user]], otherwise users.
        registration: Access = Access::Auto;
        /// The digest algorithms that phones are challenged with, in this order: "MD5", "SHA-256". Many phones
        /// give up on a challenge they do not know, even when MD5 stands beside it.
        digest: Vec<Digest> = vec![Digest::Md5], where |v| some_digest(v);
        /// Who may call in: as `registration`. Trunks may always. Strangers never reach a trunk, whatever
        /// stands here.
        inbound: Access = Access::Auto;
        /// The shortest registration granted; a shorter one is refused with 423.
        register_min: Duration = secs(60), where within(secs(1)..=secs(3600));
        /// The longest registration granted, and that of a phone which names none.
        register_max: Duration = secs(3600), where within(secs(60)..=secs(86_400));
        /// How long a called party may ring.
        ring_timeout: Duration = secs(60), where within(secs(1)..=secs(600));
        /// Round-trip estimate T1 of RFC 3261; all transaction timers follow from it.
        t1: Duration = ms(500), where within(ms(50)..=ms(5000));
        /// The longest interval between repetitions, T2.
        t2: Duration = secs(4), where within(ms(100)..=secs(40));
        /// How long a message may stay in the network, T4.
        t4: Duration = secs(5), where within(ms(0)..=secs(60));
        /// Take transfers that SIP parties ask for: REFER and Replaces. The gateway carries them out itself.
        transfers: bool = true;
        /// When a client transfers a SIP party: "refer" asks that party to call the target, and moves it itself
        /// when it does not take that; "inside" always moves it itself, and stays between the two.
        transfer_by: TransferBy = TransferBy::Refer;
        /// Logins of Flash and AIR clients.
        accounts: Accounts = Accounts::default();
        /// Against those who scan, guess and flood.
        guard: Guard = Guard::default();
        /// How numbers are dialled.
        numbers: Numbers = Numbers::default();
        /// A SIP provider or proxy that takes our calls. Routes name it.
        trunk: Vec<Trunk> = Vec::new();
    }
}

section! {
    /// `[sip.accounts]`
    Accounts {
        /// Who may log in with an account of a domain that is not ours; the gateway then registers it there and
        /// calls through it: "open" anybody, "users" nobody, "auto" anybody from this machine while there is
        /// no [[user]], otherwise nobody. The accounts of `registrars` may log in from anywhere besides.
        external: Access = Access::Auto;
        /// Domains elsewhere whose accounts may log in from anywhere.
        registrars: Vec<String> = Vec::new(), eg "[\"sip.example.com\"]";
        /// The proxy through which accounts elsewhere are registered and call, unless the client names one.
        /// Unset: the server of the account's domain.
        proxy: Option<String> = None, where optional(|v: &String| sip_uri(v)), eg "\"sip:proxy.example.com\"";
        /// The registration to ask for elsewhere.
        expires: Duration = secs(600), where within(secs(60)..=secs(86_400));
        /// Wrong logins from one address after which it has to wait.
        wrong_logins: u8 = 5, where within(1..=100);
        /// How long it then has to wait; twice as long each time, at most an hour.
        wrong_login_wait: Duration = secs(30), where within(secs(1)..=secs(3600));
    }
}

section! {
    /// `[[user]]`
    User {
        /// The name before the @.
        name: String = String::new(), where |v| user_name(v), eg "\"alice\"";
        /// The password: "…", { file = "…" } or { env = "…" }.
        password: Secret = Secret::default(), where secret_given, eg "{ env = \"ALICE_PASSWORD\" }";
        /// SRTP with this user's phones. Unset: as in [media].
        srtp: Option<Srtp> = None, eg "\"require\"";
        /// The telephone number of this user: shown by trunks with `caller = "caller"`, and calls to it ring here.
        number: Option<String> = None, where optional(|v: &String| number(v)), eg "\"+4930123456\"";
    }
}

section! {
    /// `[[route]]`
    Route {
        /// A regular expression that the dialled number must match as a whole.
        r#match: Pattern = Pattern::none(), where pattern_given, eg "'\\+?[0-9]{5,15}'";
        /// The users who may take this route. Empty: every user who has logged in. Strangers never.
        from: Vec<String> = Vec::new(), eg "[\"alice\", \"bob\"]";
        /// The trunk, or a list of trunks to try in order.
        to: Vec<String> = Vec::new(), where |v| some(v), eg "[\"provider\"]";
        /// What is dialled there; $1, $2 … are the groups of `match`. Unset: what the caller dialled.
        rewrite: Option<String> = None, eg "\"$0\"";
        /// The user part of From toward the trunk. Unset: the trunk's user name.
        caller_id: Option<String> = None, eg "\"4930123456\"";
        /// The call is hung up after so long.
        max_duration: Option<Duration> = None, where optional(within(secs(1)..=secs(86_400))), eg "\"1h\"";
    }
}

fn some(list: &[String]) -> Result<(), String> {
    if list.is_empty() {
        Err("must name at least one trunk".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn pattern_given(pattern: &Pattern) -> Result<(), String> {
    if pattern.is_none() {
        Err("must be given".to_owned())
    } else {
        Ok(())
    }
}

fn secret_given(secret: &Secret) -> Result<(), String> {
    if secret.is_empty() {
        Err("must be given and not be empty".to_owned())
    } else {
        Ok(())
    }
}

fn user_name(name: &str) -> Result<(), String> {
    given(name)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c);
    if name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "is \"{}\"; allowed: letters, digits and -_.!~*'()&=+$,;?/",
        name.escape_default()
    ))
}

section! {
    /// `[media]`
    Media {
        /// The codecs offered to SIP peers, best first. What needs no transcoding goes before this order.
        /// "speex" (16 kHz), "speex-nb" (8 kHz), "pcmu", "pcma", "l16-16", "l16-8".
        codecs: Vec<CodecId> = vec![CodecId::SpeexWb, CodecId::SpeexNb, CodecId::Pcmu, CodecId::Pcma], where |v| each_once(v);
        /// UDP ports for RTP (even) and RTCP (odd).
        rtp_ports: PortRange = PortRange { first: 20_000, last: 29_999 };
        /// Audio in one RTP packet, 20 ms or 40 ms, unless the peer asks for other.
        ptime: Duration = ms(20), where one_packet;
        /// The longest a missing RTP packet is waited for. The jitter buffer adds no delay on a clean path; on a
        /// bad one it waits as long as packets were late of late, and never longer than this.
        jitter_max: Duration = ms(120), where within(ms(20)..=ms(500));
        /// Take only the narrowband layer of wideband Speex when the other leg is narrowband: same sound
        /// for half the work.
        narrowband_shortcut: bool = true;
        /// Send G.711 to Flash as narrowband Speex, which needs a third less work than wideband.
        narrowband_to_flash: bool = true;
        /// Offer and take DTMF digits as telephone-event, RFC 4733.
        telephone_event: bool = true;
        /// Listen for DTMF digits in the audio of peers that do not send telephone-event: G.711 and L16.
        hear_digits: bool = true;
        /// The ringing tone for those who play a stream, and callers of trunks with `ringback`, until the callee is heard:
        /// the country, by its two letters ("de", "gb", "us" …), or "none".
        ringback: Ringback = Ringback::Off;
        /// Quality of Speex that we encode, 0 to 10. 6 is 20.6 kbit/s in wideband.
        speex_quality: u8 = 6, where within(0..=10);
        /// How hard the Speex encoder searches, 1 to 10. 3 costs half as much again as 1 and is hardly heard.
        speex_complexity: u8 = 1, where within(1..=10);
        /// SRTP with SIP peers: "off"; "accept" what peers offer, by keys in SDP (RFC 4568) or by DTLS (RFC 5763);
        /// "prefer": offer it, and take plain RTP from those who do not answer with it; "require": refuse calls without.
        /// Browsers, which come by WebSocket, are always offered it, unless "off".
        srtp: Srtp = Srtp::Accept;
        /// How our offers to others than browsers bring keys about: "sdes", in SDP, where whoever reads the signalling
        /// reads them (use TLS); "dtls", by a handshake, which phones without it answer with a refusal.
        srtp_keys: KeysBy = KeysBy::Sdes;
        /// ICE (RFC 8445): "lite" answers the checks of peers that have it and sends media where these lead; "off".
        ice: Ice = Ice::Lite;
        /// The suites for keys in SDP, best first: "AEAD_AES_128_GCM", "AEAD_AES_256_GCM",
        /// "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32".
        srtp_suites: Vec<SrtpSuite> = vec![SrtpSuite::Gcm, SrtpSuite::Sha80, SrtpSuite::Sha32], where |v| some_suite(v);
        /// A call whose SIP side sends no RTP or RTCP for so long, and is not on hold, ends.
        rtp_timeout: Duration = secs(60), where within(secs(5)..=secs(3600));
    }
}

fn each_once(list: &[CodecId]) -> Result<(), String> {
    if list.is_empty() {
        return Err("must name at least one codec".to_owned());
    }
    for (i, codec) in list.iter().enumerate() {
        if list.iter().skip(i + 1).any(|other| other == codec) {
            return Err(format!("names \"{}\" twice", codecs::codec(*codec).label));
        }
    }
    Ok(())
}

fn one_packet(d: &Duration) -> Result<(), String> {
    if *d == ms(20) || *d == ms(40) {
        Ok(())
    } else {
        Err("allowed: \"20ms\", \"40ms\"".to_owned())
    }
}

fn mixing_rate(rate: &u32) -> Result<(), String> {
    if matches!(rate, 8_000 | 16_000 | 48_000) {
        Ok(())
    } else {
        Err("allowed: 8000, 16000, 48000".to_owned())
    }
}

/// Digits as a telephone has them.
fn pin(pin: &Option<Secret>) -> Result<(), String> {
    let fits = |pin: &Secret| {
        let pin = pin.expose();
        (1..=32).contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit())
    };
    if pin.as_ref().is_none_or(fits) {
        Ok(())
    } else {
        Err("must be 1 to 32 digits".to_owned())
    }
}

section! {
    /// `[conference]`
    Conference {
        /// Whether calling conference/NAME makes a room of any NAME; false: only those of [[conference.room]].
        on_demand: bool = true;
        /// Numbers that lead to rooms made on demand: a regular expression that the dialled number must match
        /// as a whole. The name of the room is its first group, or the number.
        numbers: Option<Pattern> = None, eg "'8([0-9]{3})'";
        /// Members of a room at most, without those who only listen.
        max_members: u32 = 100, where within(2..=10_000);
        /// So many are heard at a time in a room: the loudest.
        talkers: u8 = 8, where within(1..=64);
        /// The highest rate at which rooms are mixed, Hz: 8000, 16000 or 48000. A room runs at the highest rate
        /// that a member sends, up to this.
        max_rate: u32 = 48_000, where mixing_rate;
        /// Whether loud and soft voices are brought to one level.
        levelling: bool = false;
        /// Whether soft noise tells that the line is alive while nobody speaks.
        comfort_noise: bool = true;
        /// Whether a tone tells of who comes and goes.
        tones: bool = true;
        /// A folder with WAV files (16 bit, 8 to 48 kHz) that are played in place of tones: ask-pin.wav, wrong-pin.wav,
        /// join.wav, leave.wav, muted.wav, unmuted.wav, locked.wav, unlocked.wav, hand.wav, waiting.wav (until the
        /// moderator comes), alone.wav (music for who is alone), one.wav (for each member, in a count).
        prompts: Option<String> = None, eg "\"/etc/flashgate/prompts\"";
        /// The folder for recordings, made if it is not there. Unset: no room can be recorded.
        recordings: Option<String> = None, eg "\"/var/lib/flashgate/recordings\"";
        /// A room with a name, numbers or a PIN of its own.
        room: Vec<Room> = Vec::new();
    }
}

section! {
    /// `[[conference.room]]`
    Room {
        /// Its name: it is called as conference/NAME.
        name: String = String::new(), where |v| given(v), eg "\"team\"";
        /// Numbers that lead to it.
        numbers: Vec<String> = Vec::new(), eg "[\"8000\"]";
        /// Who enters must key in these digits. Unset: nobody is asked.
        pin: Option<Secret> = None, where pin, eg "\"1234\"";
        /// Who keys in these digits is a moderator: keys *7 lock the room, *8 mute all others, *9 end it.
        moderator_pin: Option<Secret> = None, where pin, eg "\"987654\"";
        /// Members at most. Unset: as in [conference].
        max_members: Option<u32> = None, where optional(within(2..=10_000)), eg "20";
        /// Whether nobody hears anybody before a moderator is there.
        start_with_moderator: bool = false;
        /// Whether it ends when the last moderator leaves.
        end_with_moderator: bool = false;
        /// Whether a tone tells of who comes and goes. Unset: as in [conference].
        tones: Option<bool> = None, eg "false";
        /// Whether who enters is muted, until *6 is keyed in.
        mute_on_entry: bool = false;
        /// RTMP servers to which its mix is published as long as somebody is there: "rtmp://HOST/APP/STREAM", or
        /// "rtmp+publish;codec=pcmu:rtmp://HOST/APP/STREAM" to say what they are sent.
        webcast: Vec<String> = Vec::new(), eg "[\"rtmp://cdn.example.com/live/KEY\"]";
        /// Whether keys are commands: *1 raise a hand, *2 how many are there, *4 quieter, *5 louder, *6 mute.
        digits: bool = true;
    }
}

choice! {
    /// Who keeps the directory.
    Backend {
        /// There is none.
        Off = "off",
        /// This gateway, for itself, on its disk.
        Local = "local",
        /// A network of peers.
        P2p = "p2p",
    }
}

section! {
    /// `[directory]`
    Directory {
        /// Who keeps the directory: "local" this gateway for itself, on its disk; "p2p" a network of
        /// peers, see [overlay]; "off": there is none.
        backend: Backend = Backend::Local;
        /// The host and port at which other gateways send SIP for our users. Unset: the public address, or that of
        /// the first SIP listener.
        contact: Option<String> = None, eg "\"gw.example.com:5060\"";
        /// How long a lookup may take.
        timeout: Duration = secs(3), where within(ms(100)..=secs(30));
        /// Lookups at a time; more fail at once.
        lookups: u32 = 256, where within(1..=10_000);
        /// How long a found place is remembered; 5 s once a call to it has failed.
        cache: Duration = secs(30), where within(ms(0)..=secs(600));
        /// How long it is remembered that nobody knows a user.
        cache_none: Duration = secs(5), where within(ms(0)..=secs(60));
        /// How long what we publish holds. It is refreshed at a random point between two and three fifths of that.
        lifetime: Duration = secs(600), where within(secs(30)..=secs(3_600));
    }
}

choice! {
    /// Which names may be published in an overlay.
    OverlayNames {
        /// Those an authority granted.
        Enrolled = "enrolled",
        /// PEERID@p2p, by its key.
        Own = "own",
        /// Both.
        Both = "both",
    }
}

section! {
    /// `[overlay]`
    Overlay {
        /// Where to listen for other peers: TCP, and QUIC on UDP with the same number. Loopback only by default;
        /// "0.0.0.0:4650" opens it up.
        listen: Vec<SocketAddr> = vec![loopback(4650)];
        /// Where to ask for other peers at first: "host:port", or an address as libp2p writes it. Those that were
        /// met are kept in the state folder.
        bootstrap: Vec<String> = Vec::new(), where |v| bootstrap(v), eg "[\"overlay.example.com:4650\"]";
        /// The private key of this node, as `flashgate keygen` writes it. Unset: node.key in the state folder, made at
        /// the first start.
        key: Option<PathBuf> = None, eg "\"/etc/flashgate/node.key\"";
        /// What the overlay's authority wrote for this node: the output of `flashgate enroll`.
        certificate: Option<PathBuf> = None, eg "\"/etc/flashgate/node.cert\"";
        /// The peer ids of the authorities whose certificates count: one, or two while one takes the other's place.
        authorities: Vec<String> = Vec::new(), where |v| authorities(v), eg "[\"12D3KooW…\"]";
        /// The list of certificates that count no more, as `flashgate revoke` writes it; this node spreads it.
        revocations: Option<PathBuf> = None, eg "\"/etc/flashgate/revoked\"";
        /// Whether anybody may join without a certificate.
        open: bool = false;
        /// Which names may be published: "enrolled" those that a certificate grants, "own" PEERID@p2p by its key,
        /// "both".
        names: OverlayNames = OverlayNames::Both;
        /// The local user who is rung when somebody calls PEERID@p2p, the name of this node's key. Unset: nobody.
        owner: Option<String> = None, eg "\"alice\"";
    }
}

/// What the engine reads in detail: here only what cannot be an address.
fn bootstrap(list: &[String]) -> Result<(), String> {
    let port = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty()).then_some(port.parse::<u16>().ok()?)
    };
    let good = |text: &&String| text.starts_with('/') || port(text).is_some_and(|p| p > 0);
    match list.iter().find(|text| !good(text)) {
        Some(bad) => Err(format!("\"{}\" is not host:port", bad.escape_default())),
        None => Ok(()),
    }
}

fn authorities(list: &[String]) -> Result<(), String> {
    if list.len() > 2 {
        return Err("may name two at most".to_owned());
    }
    match list.iter().find(|a| a.parse::<overlay::PeerId>().is_err()) {
        Some(bad) => Err(format!(
            "\"{}\" is not a peer id, as 12D3KooW…",
            bad.escape_default()
        )),
        None => Ok(()),
    }
}

section! {
    /// `[limits]`
    Limits {
        /// Calls at a time.
        calls: u32 = 1000, where within(1..=100_000);
        /// New calls a second.
        calls_per_second: u32 = 50, where within(1..=10_000);
        /// Client sessions at a time, over all client protocols.
        sessions: u32 = 2000, where within(1..=100_000);
        /// Connections at a time from one address, for RTMP and for SIP over TCP each.
        connections_per_address: u32 = 256, where within(1..=100_000);
        /// A limit on calls over trunks, beside those of the trunks themselves. All that fit a call hold.
        rule: Vec<LimitRule> = Vec::new();
    }
}

section! {
    /// `[records]`
    Records {
        /// Keep a record of every call: a line of JSON in calls.jsonl, on the disk when the call has ended.
        enabled: bool = true;
        /// The folder. Unset: `records` in the state folder.
        dir: Option<String> = None, eg "\"/var/lib/flashgate/records\"";
        /// A file of this size is put away as calls-TIME-NNNN.jsonl and a new one begun.
        rotate: Size = Size(64 << 20), where within(Size(64 << 10)..=Size(4 << 30));
        /// How many files put away are kept; 0 for all.
        files: u32 = 0, where within(0..=1_000_000);
    }
}

section! {
    /// `[console]`
    Console {
        /// Where the console, its API, metrics and health are served by HTTP. Empty: nowhere. Beyond this machine it needs
        /// a password, and since it is not encrypted, a network that is trusted or a proxy with TLS in front.
        listen: Vec<SocketAddr> = vec![loopback(8080)];
        /// The same over TLS, with the certificate of `[tls]`, which is read anew when its file changes: ["0.0.0.0:8443"].
        /// Beyond this machine it needs a password too.
        tls: Vec<SocketAddr> = Vec::new();
        /// The password of the console, under any user name, and of the API as a bearer token: "…", { file = "…" } or
        /// { env = "…" }. Unset: none is needed, and only this machine is served.
        password: Option<Secret> = None, eg "{ file = \"/etc/flashgate/console.secret\" }";
        /// The socket of `flashgate status`, `calls` and the other commands to a running gateway. Unset:
        /// /run/flashgate/control.sock, or $XDG_RUNTIME_DIR/flashgate/control.sock when not run as a service. Who may
        /// open it may do everything: it is for the gateway's own account and its group.
        control: Option<String> = None, eg "\"/run/flashgate/control.sock\"";
    }
}

choice! {
    /// How much is logged; each level holds those before it.
    LogLevel {
        /// An operator must act.
        Error = "error",
        /// A peer misbehaved or a limit was reached.
        Warn = "warn",
        /// The events of a call's life.
        Info = "info",
        /// Messages.
        Debug = "debug",
        /// Packets.
        Trace = "trace",
    }
}

choice! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

impl LogLevel {
    /// The level of a word.
    pub fn parse(word: &str) -> Option<LogLevel> {
        use LogLevel::{Debug, Error, Info, Trace, Warn};
        [Error, Warn, Info, Debug, Trace]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

section! {
    /// `[log]`
    Log {
        /// "error", "warn", "info", "debug" (messages) or "trace" (packets).
        level: LogLevel = LogLevel::Info;
        /// "text" or "json".
        format: LogFormat = LogFormat::Text;
        /// Memory for the SIP messages and client commands of the last calls, which `flashgate ladder` and the console
        /// show as a diagram, without passwords, keys and digits. "0B": none are kept.
        ladder: Size = Size(4 << 20), where within(Size(0)..=Size(1 << 30));
    }
}
