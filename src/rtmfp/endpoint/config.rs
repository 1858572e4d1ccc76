//! Settings of an endpoint.

use std::sync::Arc;

use crate::profile::certificate::Identity;
use crate::profile::dh::Group;
use crate::profile::keying::Protection;
use crate::session::SessionConfig;

/// Settings of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Who we are when others come; `None` answers nobody.
    pub server: Option<Arc<Identity>>,
    /// Who we are when we open sessions; `None` makes a fresh identity each time, as clients should.
    pub client: Option<Arc<Identity>>,
    /// The group of fresh client identities; the first every server has is group 2.
    pub client_group: Group,
    /// Protections offered.
    pub protection: Protection,
    /// The key of cookies; endpoints that share a port share it.
    pub cookie_secret: [u8; 32],
    /// The upper byte of our session ids, by which endpoints that share a port tell theirs.
    pub id_prefix: u8,
    /// Open sessions at most; 10,000. Full: further initiators get no answer.
    pub sessions: usize,
    /// Sessions at most from one IP address; 64.
    pub sessions_per_ip: usize,
    /// Key agreements under way at once; 16. Full: further ones are dropped, to be tried again.
    pub keyings: usize,
    /// Hellos answered for one IP address in a second; 20. More are ignored, lest we flood a forged source.
    pub hellos_per_second: u32,
    /// Whether peers that have told their addresses are introduced to those who ask for them.
    pub introduce: bool,
    /// Whether hellos forwarded by an introducer are answered.
    pub answer_forwarded: bool,
    /// Bounds and habits of sessions.
    pub session: SessionConfig,
}

impl Default for EndpointConfig {
    fn default() -> EndpointConfig {
        EndpointConfig {
            server: None,
            client: None,
            client_group: Group::Modp1024,
            protection: Protection::default(),
            cookie_secret: [0; 32],
            id_prefix: 0,
            sessions: 10_000,
            sessions_per_ip: 64,
            keyings: 16,
            hellos_per_second: 20,
            introduce: false,
            answer_forwarded: false,
            session: SessionConfig::default(),
        }
    }
}
