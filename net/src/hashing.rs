//! Passwords hashed where nothing else waits for them, and not too many at once: each takes a core for milliseconds.

use crate::random;
use std::sync::Arc;
use tokio::{sync::Semaphore, task};
use xmpp_core::sasl::{Credentials, PasswordError};

/// Hashes passwords, for all who have one to hash.
pub struct Hashing {
    permits: Arc<Semaphore>,
    iterations: u32,
}

impl Hashing {
    /// Hashes so many passwords `at_once` (0 counts as 1), new ones in so many rounds of PBKDF2.
    pub fn new(at_once: usize, iterations: u32) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(at_once.max(1))), iterations })
    }

    /// What the store is to keep of a new password, with salts of its own.
    ///
    /// # Errors
    /// It is no password (RFC 8265 4.2).
    pub async fn derive(&self, password: String) -> Result<Credentials, PasswordError> {
        let iterations = self.iterations;
        let mut salts = [[0; 16]; 3];
        salts.iter_mut().for_each(|salt| random::fill(salt));
        self.run(move || Credentials::derive(&password, iterations, &salts)).await
    }

    /// Does work that hashes a password, when its turn has come.
    ///
    /// # Panics
    /// Where the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("nobody closes the semaphore");
        let done = task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.expect("hashing a password does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn equal_passwords_have_nothing_in_common_in_the_store() {
        let hashing = Hashing::new(0, 1);
        let (one, other) =
            tokio::join!(hashing.derive("secret".into()), hashing.derive("secret".into()));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_ne!(one.sha256.salt, other.sha256.salt);
        assert_ne!(one.sha256.salt, one.sha512.salt);
        assert_ne!(one.sha256.stored_key, other.sha256.stored_key);
        assert!(hashing.derive(String::new()).await.is_err());
    }
}
