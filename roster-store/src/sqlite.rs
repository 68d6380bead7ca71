//! The store in an SQLite database.

use crate::{Caps, Durability, Result, Store};
use std::{path::Path, sync::Arc};

/// A store in a database file.
pub struct Sqlite {}

impl Sqlite {
    /// Opens the database, making it and its folder where they are missing. Blocks.
    pub fn open(_path: &Path, _durability: Durability, _caps: Caps) -> Result<Arc<dyn Store>> {
        todo!()
    }
}
