//! OpenBao on loopback.
