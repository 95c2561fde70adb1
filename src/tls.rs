//! The process's TLS provider: rustls with ring. Everything that speaks TLS calls [`install_provider`] first.

use std::sync::Once;

/// Makes ring the process-wide rustls provider. Idempotent, and cheap after the first call.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Err means that somebody has installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
