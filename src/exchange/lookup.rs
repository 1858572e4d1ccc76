//! Locating SIP servers: the pure search of RFC 3263 with the resolver behind it.

use base::{Rng, Time};
use sip::locate::{Locate, Naptr, Options, Query, Records, Srv};
use sip::{Destination, Transport, Uri};

use crate::net::{Clock, Resolver};

/// Where a URI leads, best first; empty when nowhere.
pub(super) async fn locate(resolver: &Resolver, uri: &Uri, clock: Clock, rng: Rng) -> Vec<Destination> {
    let options = Options {
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        ..Options::default()
    };
    let Ok(mut search) = Locate::new(clock.now(), uri, options, rng) else {
        return Vec::new();
    };
    loop {
        if let Some(result) = search.poll_result() {
            return result.unwrap_or_default();
        }
        let mut asked = false;
        while let Some((id, query)) = search.poll_query() {
            asked = true;
            let deadline: Option<Time> = search.poll_timeout();
            tokio::select! {
                records = ask(resolver, &query) => search.handle_answer(id, records),
                () = clock.sleep_until(deadline) => search.handle_timeout(clock.now()),
            }
        }
        if !asked {
            search.handle_timeout(search.poll_timeout().unwrap_or(Time::MAX));
        }
    }
}

/// Puts one question. A failed lookup is an empty answer: the search goes on with what it has.
async fn ask(resolver: &Resolver, query: &Query) -> Records {
    match query {
        Query::Naptr(name) => {
            let found = resolver.naptr(name).await.unwrap_or_default();
            Records::Naptr(
                found
                    .into_iter()
                    .map(|r| Naptr {
                        order: r.order,
                        preference: r.preference,
                        flags: r.flags,
                        service: r.service,
                        replacement: r.replacement,
                    })
                    .collect(),
            )
        }
        Query::Srv(name) => {
            let found = resolver.srv(name).await.unwrap_or_default();
            Records::Srv(
                found
                    .into_iter()
                    .map(|r| Srv {
                        priority: r.priority,
                        weight: r.weight,
                        port: r.port,
                        target: r.target,
                    })
                    .collect(),
            )
        }
        Query::A(name) => Records::Addresses(resolver.a(name).await.unwrap_or_default()),
        Query::Aaaa(name) => Records::Addresses(resolver.aaaa(name).await.unwrap_or_default()),
    }
}
