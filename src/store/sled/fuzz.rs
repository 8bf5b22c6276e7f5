//! What must hold of records, whatever a damaged disk makes of them.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::filed::Filed;
use super::recover::Sentinel;
use super::surplus::Counted;
use crate::auth::model::attempts::Attempts;
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::UserId;
use crate::auth::model::post::Post;
use crate::auth::model::session::Session;
use crate::auth::model::user::User;
use crate::clock::Timestamp;
use crate::store::{SigningKeys, codec};

/// Bytes as the record of every table: what can be read is kept as it was read.
pub(crate) fn record(bytes: &[u8]) {
    keeps::<User>(bytes);
    keeps::<UserId>(bytes);
    keeps::<Filed>(bytes);
    keeps::<Session>(bytes);
    keeps::<Post>(bytes);
    keeps::<AuditEvent>(bytes);
    keeps::<Attempts>(bytes);
    keeps::<Timestamp>(bytes);
    keeps::<SigningKeys>(bytes);
    keeps::<[u8; 32]>(bytes);
    keeps::<Sentinel>(bytes);
    keeps::<Counted>(bytes);
}

fn keeps<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(record) = codec::decode::<T>("fuzz", &[], bytes) else { return };
    let again = codec::encode("fuzz", &[], &record);
    assert_eq!(again.and_then(|bytes| codec::decode("fuzz", &[], &bytes)), Ok(record));
}
