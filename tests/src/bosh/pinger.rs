//! Somebody who only wants to know how fast it is.

use super::{Lab, Stop, client::Session};
use std::sync::Arc;

/// A session whose owner sends messages to it.
pub struct Pinger {
    session: Session,
    count: u64,
}

impl Pinger {
    /// Logs this account in.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    pub async fn enter(lab: &Arc<Lab>, account: usize) -> Result<Self, String> {
        let session = lab.ask().login(account).await.map_err(why)?;
        Ok(Self { session, count: 0 })
    }

    /// A message to oneself on a new connection, which has gone through the manager, the server and the manager again
    /// when it comes back.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub async fn ping(&mut self) -> Result<(), String> {
        self.count += 1;
        let id = format!("ping-{}", self.count);
        self.session.echo(&id).await.map_err(why)?;
        // What they were is of no interest any more.
        self.session.log.clear();
        Ok(())
    }
}

fn why(stop: Stop) -> String {
    match stop {
        Stop::Fail(why) | Stop::NotOffered(why) | Stop::NotMeasured(why) => why,
    }
}
