//! What a dialect wants done: answers and callbacks for its client, wishes for the exchange.

use call::LineIntent;
use rtmp::amf::Value;
use rtmp::server::{Call, ConnectReply};

/// A function that the clients of a dialect define on their `NetConnection.client`. Flash clients break on
/// any other, so a dialect can send those it has declared and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    /// Its name, spelled as the clients spell it.
    pub name: &'static str,
    /// The fewest arguments it is called with.
    pub least: usize,
    /// The most.
    pub most: usize,
}

impl Callback {
    /// A function that always has the same number of arguments.
    pub const fn of(name: &'static str, args: usize) -> Callback {
        Callback {
            name,
            least: args,
            most: args,
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Accept `connect`; `None` as generic media servers do.
    Accept(Option<Box<ConnectReply>>),
    /// Refuse `connect` with this information object; the client is to close.
    Refuse(Value),
    /// Answer a command with `_result`; nothing is sent for transaction 0.
    Result {
        /// Its transaction.
        txn: f64,
        /// What follows the null object.
        values: Vec<Value>,
    },
    /// Answer a command with `_error`, code `NetConnection.Call.Failed`; nothing is sent for transaction 0.
    Error {
        /// Its transaction.
        txn: f64,
        /// What the client may tell its user.
        description: String,
    },
    /// Answer a command as generic media servers do.
    Usual(Box<Call>),
    /// Call a function of the client.
    Call {
        /// Which.
        callback: &'static Callback,
        /// Transaction id; 0 wants no answer.
        txn: f64,
        /// Arguments.
        args: Vec<Value>,
    },
    /// Open both gates of media toward the client.
    OpenGates,
    /// Tell the exchange.
    Intend(LineIntent),
    /// The client says something for the gateway's log.
    Log(String),
}

/// A list of things to do, in order.
#[derive(Debug, Default)]
pub struct Acts(Vec<Act>);

impl Acts {
    /// Adds one.
    pub fn push(&mut self, act: Act) {
        self.0.push(act);
    }

    /// Calls a function of the client, wanting no answer.
    pub fn call(&mut self, callback: &'static Callback, args: Vec<Value>) {
        self.call_with(callback, 0.0, args);
    }

    /// Calls a function of the client under a transaction id.
    pub fn call_with(&mut self, callback: &'static Callback, txn: f64, args: Vec<Value>) {
        debug_assert!((callback.least..=callback.most).contains(&args.len()));
        self.push(Act::Call { callback, txn, args });
    }

    /// Tells the exchange.
    pub fn intend(&mut self, intent: LineIntent) {
        self.push(Act::Intend(intent));
    }

    /// Takes them out.
    pub fn take(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.0)
    }
}
