//! The subscription states of RFC 6121 Appendix A as data.
