//! The layering rules, checked.
