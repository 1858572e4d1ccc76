//! Long arithmetic, done outside: milliseconds of modular exponentiation must not delay the packets of others.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::profile::certificate::{Certificate, Identity};
use crate::profile::dh::Group;
use crate::profile::keying::{self, InitiatorKeying, Protection, SessionKeys};
use crate::profile::random::Random;

use super::Handle;

/// A piece of arithmetic that the owner runs where it harms nobody, and gives back.
#[derive(Debug)]
pub struct Work(pub(super) Task);

#[derive(Debug)]
pub(super) enum Task {
    /// Answer an initiator.
    Respond {
        from: SocketAddr,
        far_id: u32,
        identity: Arc<Identity>,
        far: Certificate,
        component: Vec<u8>,
        protection: Protection,
        random: Random,
    },
    /// Make the initiator's component, and a fresh identity unless there is a lasting one.
    Initiate {
        handle: Handle,
        identity: Option<Arc<Identity>>,
        group: Group,
        far: Certificate,
        protection: Protection,
        random: Random,
    },
    /// Combine the responder's component.
    Combine {
        handle: Handle,
        keying: Box<InitiatorKeying>,
        far_id: u32,
        component: Vec<u8>,
    },
}

/// The result of a [`Work`].
#[derive(Debug)]
pub struct Done(pub(super) Outcome);

#[derive(Debug)]
pub(super) enum Outcome {
    Responded {
        from: SocketAddr,
        far_id: u32,
        far: Certificate,
        far_component: Vec<u8>,
        made: Option<(Vec<u8>, SessionKeys)>,
    },
    Initiated {
        handle: Handle,
        made: Option<(Arc<Identity>, Box<InitiatorKeying>)>,
    },
    Combined {
        handle: Handle,
        far_id: u32,
        keys: Option<SessionKeys>,
    },
}

impl Work {
    /// Does it; one to ten milliseconds.
    pub fn run(self) -> Done {
        Done(match self.0 {
            Task::Respond {
                from,
                far_id,
                identity,
                far,
                component,
                protection,
                mut random,
            } => Outcome::Responded {
                made: keying::respond(&identity, &far, &component, &protection, &mut random),
                from,
                far_id,
                far,
                far_component: component,
            },
            Task::Initiate {
                handle,
                identity,
                group,
                far,
                protection,
                mut random,
            } => {
                let identity = identity.or_else(|| Identity::client(group, &mut random).map(Arc::new));
                let made = identity.and_then(|identity| {
                    let keying = InitiatorKeying::new(&identity, &far, &protection, &mut random)?;
                    Some((identity, Box::new(keying)))
                });
                Outcome::Initiated { handle, made }
            }
            Task::Combine {
                handle,
                keying,
                far_id,
                component,
            } => Outcome::Combined {
                handle,
                far_id,
                keys: keying.combine(&component),
            },
        })
    }
}
