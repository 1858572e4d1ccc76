//! What must be right in every message before anything acts on it (RFC 3261 §8.1.1, §8.2, §16.3).

use crate::error::Error;
use crate::header::{HeaderName, Headers};
use crate::msg::Method;

/// Checks the fields that transactions and dialogs stand on. `method` is that of a request.
pub(super) fn headers(method: Option<&Method>, headers: &Headers) -> Result<(), Error> {
    for name in [
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::MaxForwards,
    ] {
        if headers.get_all(&name).nth(1).is_some() {
            return Err(Error::Repeated(name));
        }
    }
    let via = headers.via_top()?;
    if via.branch() == Some("z9hG4bK") {
        // The cookie alone names no transaction.
        return Err(Error::Header(HeaderName::Via));
    }
    headers.from()?;
    headers.to()?;
    headers.call_id()?;
    let cseq = headers.cseq()?;
    let Some(method) = method else {
        return Ok(());
    };
    if cseq.method != *method {
        return Err(Error::CSeqMethod);
    }
    headers.max_forwards()?;
    // A bad Contact is no reason to keep a call from ending.
    if !matches!(method, Method::Ack | Method::Bye | Method::Cancel) {
        headers.contacts()?;
    }
    Ok(())
}
