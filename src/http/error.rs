//! The domain's errors as problems: the one place where an operation's refusal gets its status and code.

use super::problem::{Code, Problem};
use crate::auth::account::{AccountError, ProfileError};
use crate::auth::authenticate::AuthenticateError;
use crate::auth::introspect::IntrospectError;
use crate::auth::login::LoginError;
use crate::auth::logout::RevokeError;
use crate::auth::posts::PostsError;
use crate::auth::refresh::RefreshError;
use crate::auth::register::RegisterError;
use crate::auth::sessions::SessionsError;
use crate::auth::users::UsersError;
use crate::auth::{Fault, Forbidden};
use crate::password::HashError;
use crate::store::StoreError;
use crate::throttle::Later;

/// When to come back after the server was too busy, in seconds.
pub(super) const RETRY_AFTER_SECS: u32 = 2;

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Store(
                StoreError::Busy
                | StoreError::DiskFull
                | StoreError::Unavailable
                | StoreError::Unknown,
            )
            | Fault::Hash(HashError::Busy | HashError::Unavailable | HashError::TooLarge { .. }) => {
                Self::unavailable(RETRY_AFTER_SECS).because(fault)
            }
            Fault::Store(
                StoreError::Conflict
                | StoreError::NotFound
                | StoreError::LastAdmin
                | StoreError::Outrun
                | StoreError::Corrupt { .. },
            )
            | Fault::Hash(HashError::NotAPassword(_))
            | Fault::Random(_)
            | Fault::Sign(_) => Self::internal(fault),
        }
    }
}

impl From<Forbidden> for Problem {
    fn from(forbidden: Forbidden) -> Self {
        match forbidden {
            Forbidden::Scope(scope) => Self::insufficient_scope(scope),
            Forbidden::Role | Forbidden::Authority => Code::Forbidden.into(),
        }
    }
}

impl From<Later> for Problem {
    fn from(Later(wait): Later) -> Self {
        Self::later(wait)
    }
}

impl From<AuthenticateError> for Problem {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Invalid(reason) => Self::from(Code::InvalidToken).because(reason),
            AuthenticateError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => Code::InvalidGrant.into(),
            LoginError::Inactive => Self::new(Code::InvalidGrant, "Inactive user"),
            LoginError::Later(later) => later.into(),
            LoginError::InvalidScope(_) => Code::InvalidScope.into(),
            LoginError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::InvalidGrant(reason) => {
                Self::new(Code::InvalidGrant, "The refresh token is not valid").because(reason)
            }
            RefreshError::InvalidScope => Code::InvalidScope.into(),
            RefreshError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Closed => Code::RegistrationClosed.into(),
            RegisterError::Username(_)
            | RegisterError::Reserved
            | RegisterError::Email(_)
            | RegisterError::FullName(_) => rule(Code::InvalidValue, &error),
            RegisterError::Password(_) => rule(Code::WeakPassword, &error),
            RegisterError::Later(later) => later.into(),
            RegisterError::Taken => Code::UsernameTaken.into(),
            RegisterError::Fault(fault) => fault.into(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Forbidden(forbidden) => forbidden.into(),
            AccountError::Email(_) | AccountError::FullName(_) => rule(Code::InvalidValue, &error),
            AccountError::Password(_) => rule(Code::WeakPassword, &error),
            AccountError::InvalidPassword => Code::InvalidPassword.into(),
            AccountError::Later(later) => later.into(),
            AccountError::Conflict => Code::Conflict.into(),
            AccountError::Gone => Code::InvalidToken.into(),
            AccountError::LastAdmin => Code::LastAdmin.into(),
            AccountError::Fault(fault) => fault.into(),
        }
    }
}

impl From<SessionsError> for Problem {
    fn from(error: SessionsError) -> Self {
        match error {
            SessionsError::Forbidden(forbidden) => forbidden.into(),
            SessionsError::NotFound => Code::NotFound.into(),
            SessionsError::Gone => Code::InvalidToken.into(),
            SessionsError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        rule(Code::InvalidValue, &error)
    }
}

impl From<UsersError> for Problem {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::Forbidden(forbidden) => forbidden.into(),
            UsersError::Account(account) => account.into(),
            UsersError::Profile(profile) => profile.into(),
            UsersError::Password(_) => rule(Code::WeakPassword, &error),
            UsersError::UnknownRole(_) => rule(Code::InvalidValue, &error),
            UsersError::Cursor => rule(Code::InvalidParameter, &error),
            UsersError::NotFound => Code::NotFound.into(),
            UsersError::Conflict => Code::Conflict.into(),
            UsersError::LastAdmin => Code::LastAdmin.into(),
            UsersError::Fault(fault) => fault.into(),
        }
    }
}

impl From<PostsError> for Problem {
    fn from(error: PostsError) -> Self {
        match error {
            PostsError::Forbidden(forbidden) => forbidden.into(),
            PostsError::Title | PostsError::Content => rule(Code::InvalidValue, &error),
            PostsError::NotFound => Code::NotFound.into(),
            PostsError::Gone => Code::InvalidToken.into(),
            PostsError::Fault(fault) => fault.into(),
        }
    }
}

impl From<IntrospectError> for Problem {
    fn from(error: IntrospectError) -> Self {
        match error {
            IntrospectError::Forbidden(forbidden) => forbidden.into(),
            IntrospectError::Later(later) => later.into(),
            IntrospectError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Later(later) => later.into(),
            RevokeError::Fault(fault) => fault.into(),
        }
    }
}

/// A refusal that names the broken rule, as a sentence: "A username has 1 to 64 characters".
fn rule(code: Code, error: &dyn std::error::Error) -> Problem {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    Problem::new(code, first.chain(letters).collect::<String>())
}
