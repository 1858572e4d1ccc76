//! Flow control above TCP.
/// Placeholder for the method.
#[derive(Debug, Default)]
pub struct Flow {}
