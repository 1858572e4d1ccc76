//! The records RFC 3263 needs, without blocking.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, RecordType};

/// The longest a lookup may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Records taken from one answer.
const MAX_RECORDS: usize = 32;

/// A NAPTR record (RFC 3403 §4.1), as RFC 3263 §4.1 uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among the same order.
    pub preference: u16,
    /// `s` leads to an SRV record, `a` to an address; in lower case.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T` …, in upper case.
    pub service: String,
    /// The name to look up next, without the last dot.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// The share among the same priority.
    pub weight: u16,
    /// The port of the service.
    pub port: u16,
    /// The host, without the last dot.
    pub target: String,
}

/// A lookup that gave no answer. That a name has no such record is not an error: it is an empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name is no domain name.
    #[error("not a domain name")]
    BadName,
    /// The name servers did not answer, or not well.
    #[error("the name servers did not answer")]
    Failed,
}

/// Asks the name servers of the system, with a cache that honours the records' times to live. Clones share it.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// A resolver as `/etc/resolv.conf` and `/etc/hosts` say. Needs a runtime.
    ///
    /// # Errors
    /// What is wrong with the system's settings.
    pub fn new() -> Result<Resolver, String> {
        let mut builder = TokioResolver::builder_tokio().map_err(|e| e.to_string())?;
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.cache_size = 4096;
        let inner = builder.build().map_err(|e| e.to_string())?;
        Ok(Resolver { inner })
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, LookupError> {
        // With the last dot the search list of the system is not tried: RFC 3263 names are absolute. A name
        // without any dot is a host of the local network, for which the list is meant.
        let name = if name.contains('.') && !name.ends_with('.') {
            format!("{name}.")
        } else {
            name.to_owned()
        };
        let lookup = self.inner.lookup(name, kind);
        match tokio::time::timeout(TIMEOUT, lookup).await {
            Ok(Ok(answer)) => {
                let records = answer.answers().iter().filter_map(|r| pick(&r.data));
                Ok(records.take(MAX_RECORDS).collect())
            }
            Ok(Err(e)) if e.is_no_records_found() || e.is_nx_domain() => Ok(Vec::new()),
            Ok(Err(NetError::Proto(_))) => Err(LookupError::BadName),
            Ok(Err(_)) | Err(_) => Err(LookupError::Failed),
        }
    }

    /// NAPTR records of a domain, by order and preference.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn naptr(&self, domain: &str) -> Result<Vec<Naptr>, LookupError> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let mut records = self
            .ask(domain, RecordType::NAPTR, |data| match data {
                RData::NAPTR(n) => Some(Naptr {
                    order: n.order,
                    preference: n.preference,
                    flags: text(&n.flags).to_ascii_lowercase(),
                    service: text(&n.services).to_ascii_uppercase(),
                    replacement: host(&n.replacement.to_ascii()),
                }),
                _ => None,
            })
            .await?;
        records.sort_by_key(|n| (n.order, n.preference));
        Ok(records)
    }

    /// SRV records of a name such as `_sip._udp.example.com`, by priority; the choice by weight is the
    /// caller's, who has the randomness.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn srv(&self, name: &str) -> Result<Vec<Srv>, LookupError> {
        let mut records = self
            .ask(name, RecordType::SRV, |data| match data {
                RData::SRV(s) => Some(Srv {
                    priority: s.priority,
                    weight: s.weight,
                    port: s.port,
                    target: host(&s.target.to_ascii()),
                }),
                _ => None,
            })
            .await?;
        records.sort_by_key(|s| s.priority);
        Ok(records)
    }

    /// IPv4 addresses of a host.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn a(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .await
    }

    /// IPv6 addresses of a host.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn aaaa(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        })
        .await
    }
}

/// A name without its last dot, in lower case.
fn host(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
