//! Locating SIP servers: the pure search of RFC 3263 with the resolver behind it.

use base::Rng;
use sip::locate::{Locate, Naptr, Options, Query, Records, Srv};
use sip::{Destination, Transport, Uri};
use tokio::task::JoinSet;

use crate::net::{Clock, Resolver};

/// Where a URI leads, best first; empty when nowhere.
pub(super) async fn locate(resolver: &Resolver, uri: &Uri, clock: Clock, rng: Rng) -> Vec<Destination> {
    let options = Options {
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        ..Options::default()
    };
    match Locate::new(clock.now(), uri, options, rng) {
        Ok(search) => {
            let resolver = resolver.clone();
            carry_out(search, clock, move |query| {
                let resolver = resolver.clone();
                async move { ask(&resolver, &query).await }
            })
            .await
        }
        Err(_) => Vec::new(),
    }
}

/// Puts all questions of a search at once that do not wait for one another.
async fn carry_out<F>(mut search: Locate, clock: Clock, ask: impl Fn(Query) -> F) -> Vec<Destination>
where
    F: Future<Output = Records> + Send + 'static,
{
    let mut asked = JoinSet::new();
    loop {
        if let Some(result) = search.poll_result() {
            return result.unwrap_or_default();
        }
        while let Some((id, query)) = search.poll_query() {
            let records = ask(query);
            asked.spawn(async move { (id, records.await) });
        }
        tokio::select! {
            Some(Ok((id, records))) = asked.join_next() => search.handle_answer(id, records),
            () = clock.sleep_until(search.poll_timeout()) => search.handle_timeout(clock.now()),
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_does_not_wait_for_one_another_is_asked_at_once() {
        let clock = Clock::new();
        let uri = Uri::parse("sip:bob@b.test").unwrap();
        let search = Locate::new(clock.now(), &uri, Options::default(), Rng::new(1)).unwrap();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let found = carry_out(search, clock, |query| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                let srv = |priority, target: &str| Srv {
                    priority,
                    weight: 1,
                    port: 5060,
                    target: target.to_owned(),
                };
                match query {
                    Query::Naptr(_) => Records::Naptr(Vec::new()),
                    Query::Srv(name) if name.starts_with("_sip._udp") => {
                        Records::Srv(vec![srv(1, "one.b.test"), srv(2, "two.b.test")])
                    }
                    Query::Srv(_) => Records::Srv(Vec::new()),
                    Query::A(name) => {
                        let last = if name.starts_with("one") { 1 } else { 2 };
                        Records::Addresses(vec![IpAddr::from([192, 0, 2, last])])
                    }
                    Query::Aaaa(_) => Records::Addresses(Vec::new()),
                }
            }
        })
        .await;
        let found: Vec<String> = found.iter().map(|d| d.addr.to_string()).collect();
        assert_eq!(found, ["192.0.2.1:5060", "192.0.2.2:5060"]);
        // A and AAAA of both hosts.
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_lookup_that_never_ends_is_given_up() {
        let clock = Clock::new();
        let uri = Uri::parse("sip:bob@b.test").unwrap();
        let options = Options {
            timeout: Duration::from_millis(50),
            ..Options::default()
        };
        let search = Locate::new(clock.now(), &uri, options, Rng::new(1)).unwrap();
        let found = carry_out(search, clock, |_| std::future::pending()).await;
        assert!(found.is_empty());
    }
}
