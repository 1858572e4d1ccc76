//! Calls, pure: what a party may ask and be told, where a target leads, and the machine that keeps the legs
//! of a call in step. It knows neither SIP nor RTMP; the exchange translates.
//!
//! - [`Target`]: what a client dials, read from text.
//! - [`Routes`]: numbers to trunks; [`Numbering`]: their one form.
//! - [`Call`]: the back-to-back user agent over one caller and any number of rung callees.
//! - [`Intent`], [`StreamEvent`]: the words between a client session and the exchange.
//! - [`LineIntent`], [`LineEvent`]: those of clients that register and have several calls.
//! - [`Room`]: a conference: members, PIN, lock, digits.
//! - [`Admission`]: limits at the door; [`Quotas`]: limits on calls over trunks.

mod admission;
mod bridge;
mod intent;
mod leg;
mod line;
mod machine;
mod negotiate;
mod number;
mod quota;
mod room;
mod route;
mod target;

pub use admission::{Admission, Limits};
pub use bridge::Bridge;
pub use intent::{Intent, StreamEvent, StreamUse};
pub use leg::{LegCommand, LegEvent, Outcome};
pub use line::{AccountId, Dial, Line, LineEvent, LineIntent, Login, Proof, Secret};
pub use machine::{Action, Call, CallState, Ring};
pub use negotiate::{Audio, order_offer, pick_answer, pick_flash};
pub use number::{BadNumber, NumberForm, Numbering};
pub use quota::{Quotas, Rule, Wish};
pub use room::{Member, Prompt, Role, Room, RoomAction, RoomEvent, RoomRules};
pub use route::{Route, RouteError, RouteTo, Routes};
pub use target::{Target, shown};
