//! The operator's commands, one implementation for a running server and a stopped one.
//!
//! A running server takes them on a socket in its data directory ([`server`], [`client`]); with the
//! server down the same [`perform`] runs on the opened store. Who is calling is checked before, and shown
//! by an [`Operator`]. Knows no HTTP and no engine.

pub mod audit;
pub mod client;
pub mod protocol;
pub mod server;

use std::collections::BTreeSet;

use crate::admin::protocol::{
    Account, DumpEnd, NewAccountFields, Refusal, Reply, Request, SigningKey,
};
use crate::auth::export::{Dump, ExportError, Part};
use crate::auth::keys::{OldKeys, RotateError};
use crate::auth::model::key::KeyState;
use crate::auth::model::user::User;
use crate::auth::policy::{Acting, Operator};
use crate::auth::register::NewAccount;
use crate::auth::users::{NewUser, UserQuery, UsersError};
use crate::auth::{Auth, Fault, Origin};
use crate::password::Password;

/// What a command gives back.
pub enum Answer {
    /// One reply.
    One(Reply),
    /// One reply after the other, from [`next_reply`].
    Dump(Dump),
}

/// Carries out one command.
///
/// # Errors
/// A [`Refusal`] with one line for the operator; nothing was done then.
pub async fn perform(
    auth: &Auth,
    operator: &Operator,
    request: Request,
) -> Result<Answer, Refusal> {
    let acting = Acting::Operator(operator);
    let reply = match request {
        Request::UsersAdd(fields) => add_user(auth, acting, fields).await?,
        Request::UsersList { after, limit } => {
            let query = UserQuery { prefix: None, after, limit };
            let page = auth.list_users(acting, query).await.map_err(refusal)?;
            let mut accounts = Vec::with_capacity(page.items.len());
            for user in &page.items {
                accounts.push(account(auth, operator, user).await?);
            }
            Reply::Accounts { accounts, next: page.next }
        }
        Request::UsersShow { name } => {
            let user = auth.find_user_by_name(acting, &name).await.map_err(refusal)?;
            Reply::Account(account(auth, operator, &user).await?)
        }
        Request::UsersUnlock { name } => {
            let user = auth.unlock_user(operator, &name).await.map_err(refusal)?;
            Reply::Account(Account::of(&user, false))
        }
        Request::Audit(request) => audit::read(auth, operator, request).await?,
        Request::KeysList => keys(&auth.keys(operator)),
        Request::KeysRotate { drop_old } => {
            let old = if drop_old { OldKeys::Drop } else { OldKeys::Retire };
            keys(&auth.rotate_keys(operator, old).await.map_err(not_rotated)?)
        }
        Request::Export => {
            return auth.export(operator).await.map(Answer::Dump).map_err(not_exported);
        }
    };
    Ok(Answer::One(reply))
}

/// The next reply of a dump; nothing after its end.
///
/// # Errors
/// A [`Refusal`] when it breaks off.
pub async fn next_reply(dump: &mut Dump) -> Result<Option<Reply>, Refusal> {
    let part = dump.part().await.map_err(not_exported)?;
    Ok(part.map(|part| match part {
        Part::Text(text) => Reply::DumpPiece { text },
        Part::End { summary, left_out } => {
            Reply::DumpEnd(DumpEnd { records: summary.records, left_out, sha256: summary.sha256 })
        }
    }))
}

async fn add_user(
    auth: &Auth,
    acting: Acting<'_>,
    fields: NewAccountFields,
) -> Result<Reply, Refusal> {
    let roles: BTreeSet<String> = fields.roles.into_iter().collect();
    let new_user = NewUser {
        account: NewAccount {
            username: fields.username,
            password: Password::new(fields.password.into_text()),
            email: fields.email,
            full_name: fields.full_name,
        },
        roles: (!roles.is_empty()).then_some(roles),
        disabled: false,
    };
    let user = auth.add_user(acting, new_user, &Origin::default()).await.map_err(refusal)?;
    Ok(Reply::Account(Account::of(&user, false)))
}

async fn account(auth: &Auth, operator: &Operator, user: &User) -> Result<Account, Refusal> {
    Ok(Account::of(user, auth.is_locked(operator, user).await.map_err(refusal)?))
}

fn keys(keys: &[KeyState]) -> Reply {
    Reply::Keys { keys: keys.iter().map(SigningKey::of).collect() }
}

/// The line an operator reads: a fault with its cause, which a client over HTTP would not be told.
fn refusal(error: UsersError) -> Refusal {
    match error {
        UsersError::Fault(fault) => fault_refusal(&fault),
        other => Refusal(other.to_string()),
    }
}

fn not_rotated(error: RotateError) -> Refusal {
    match error {
        RotateError::Fault(fault) => fault_refusal(&fault),
        other @ RotateError::Key(_) => Refusal(other.to_string()),
    }
}

fn not_exported(error: ExportError) -> Refusal {
    match error {
        ExportError::Fault(fault) => fault_refusal(&fault),
        other @ ExportError::Text(_) => Refusal(other.to_string()),
    }
}

fn fault_refusal(fault: &Fault) -> Refusal {
    match fault {
        Fault::Store(cause) => Refusal(cause.to_string()),
        Fault::Hash(cause) => Refusal(cause.to_string()),
        other => Refusal(other.to_string()),
    }
}
