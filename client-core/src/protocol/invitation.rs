//! What a printed invitation says: where the server is, which server it is, and the one-time code.
//!
//! An invitation is an address, so that any scanner opens a page that explains: `https://HOST/join#IDENTITY.CODE`. What follows
//! the `#` never leaves the phone that scans it; it stands in no server's log.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use super::enrol::normal_code;

/// The path of the page that explains an invitation.
pub const JOIN_PATH: &str = "/join";

/// Longest link that is read, in bytes.
const LINK_BYTES: usize = 512;
/// Letters and digits of a code.
const CODE_LEN: std::ops::RangeInclusive<usize> = 8..=64;

/// An invitation to enrol a phone.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The server's address, without a slash at the end.
    pub server_url: String,
    /// The server's long-lived Ed25519 identity.
    pub identity: [u8; 32],
    /// The one-time code.
    pub code: String,
}

impl Invitation {
    /// True where nobody on the way reads along: the address is `https`, or a server on the same machine.
    pub fn is_private(&self) -> bool {
        let Some(host) = self.server_url.strip_prefix("http://") else { return true };
        let here =
            |own: &str| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']));
        ["127.0.0.1", "localhost", "[::1]"].into_iter().any(here)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({}, ..)", self.server_url)
    }
}

/// Writes the link.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = BASE64URL_NOPAD.encode(&self.identity);
        write!(f, "{}{JOIN_PATH}#{identity}.{}", self.server_url, normal_code(&self.code))
    }
}

/// A text that isn't an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this isn't an invitation")]
pub struct ParseInvitationError;

impl FromStr for Invitation {
    type Err = ParseInvitationError;

    fn from_str(link: &str) -> Result<Self, ParseInvitationError> {
        parse(link.trim()).ok_or(ParseInvitationError)
    }
}

fn parse(link: &str) -> Option<Invitation> {
    let (page, secret) = link.split_once('#').filter(|_| link.len() <= LINK_BYTES)?;
    let server_url = page.strip_suffix(JOIN_PATH)?;
    let host = server_url.strip_prefix("https://").or_else(|| server_url.strip_prefix("http://"))?;
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && b != b'@' && b != b'?') {
        return None;
    }
    let (identity, code) = secret.split_once('.')?;
    let identity = BASE64URL_NOPAD.decode(identity.as_bytes()).ok()?.try_into().ok()?;
    let code = normal_code(code);
    let invitation = Invitation { server_url: server_url.to_owned(), identity, code };
    CODE_LEN.contains(&invitation.code.len()).then_some(invitation)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        let (server_url, code) = ("https://survey.example.org/town".to_owned(), "ABCDE234FGHIJ567".to_owned());
        Invitation { server_url, identity: [7; 32], code }
    }

    #[test]
    fn a_link_reads_back_and_its_secret_follows_the_hash_sign() {
        let link = invitation().to_string();
        assert!(link.starts_with("https://survey.example.org/town/join#"));
        assert!(!link.split('#').next().unwrap().contains("ABCDE"));
        assert_eq!(format!(" {link}\n").parse(), Ok(invitation()));
        let grouped = link.replace("ABCDE234FGHIJ567", "abcde-234fg-hij56-7");
        assert_eq!(grouped.parse(), Ok(invitation()));
    }

    #[test]
    fn only_https_and_the_same_machine_are_private() {
        let at = |server_url: &str| Invitation { server_url: server_url.to_owned(), ..invitation() }.is_private();
        assert!(
            ["https://survey.example.org", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"].map(at)
                == [true; 4]
        );
        let others =
            ["http://survey.example.org", "http://localhost.example.org", "http://127.0.0.10", "http://10.0.0.1"];
        assert!(others.map(at) == [false; 4]);
    }

    #[test]
    fn a_debugged_invitation_keeps_its_code() {
        assert!(!format!("{:?}", invitation()).contains("ABCDE"));
    }

    #[test]
    fn what_is_no_invitation_is_refused() {
        let link = invitation().to_string();
        let long = format!("{link}{}", "A".repeat(LINK_BYTES));
        let others = [
            "",
            "https://survey.example.org",
            "join#.",
            &link.replace("https", "ftp"),
            &link.replace("survey", "user@survey"),
            &link.replace("/join", "/other"),
            &link.replace("BwcH", "!wcH"),
            &link[..link.len() - 12],
            &long,
        ];
        for other in others {
            assert_eq!(other.parse::<Invitation>(), Err(ParseInvitationError), "{other}");
        }
    }
}
