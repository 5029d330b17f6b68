//! JOSE, as far as the protocol needs it: compact JWS (RFC 7515) with PS256 and ES256, and compact JWE
//! (RFC 7516) with RSA-OAEP-256 and A256GCM.

pub mod jwe;
pub mod jws;
