//! `doorstep device invite`: one-time codes for phones, for one person or as printed cards for many.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use askama::Template;
use clap::Args;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::Invitation;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::admin::the_township;
use super::files::new_private_file;
use super::grant::area_by;
use super::serve::open_service;
use super::{DataOptions, Outcome};
use crate::messages::Language;
use crate::say;
use crate::service::audit::Actor;
use crate::service::invitations::{INVITED_AT_ONCE, Invited, Named};
use crate::web::{texts, times};

/// Options of `device invite`.
#[derive(Args)]
pub struct InviteArgs {
    #[command(flatten)]
    data: DataOptions,
    /// The person's name.
    #[arg(long, required_unless_present = "people", conflicts_with = "people")]
    name: Option<String>,
    /// Their sending unit.
    #[arg(long, default_value = "", conflicts_with = "people")]
    unit: String,
    /// Many people at once: a CSV file, a name and (or not) a unit a line.
    #[arg(long, requires = "cards")]
    people: Option<PathBuf>,
    /// Writes cards with QR codes for printing on A4, as one HTML file that must not exist.
    #[arg(long, requires = "address")]
    cards: Option<PathBuf>,
    /// The server's address as phones reach it, for QR codes, such as `https://survey.example.org`.
    #[arg(long)]
    address: Option<String>,
    /// The role of people who are new.
    #[arg(long, default_value = "helper")]
    role: String,
    /// The area that new people's role is for, by id, code or name, and all below it; without it the whole township.
    #[arg(long)]
    area: Option<String>,
    /// The township's id, where there are several.
    #[arg(long)]
    township: Option<AreaId>,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A person on a card.
struct Card {
    name: String,
    unit: String,
    code: String,
    /// The QR code of the link, as SVG.
    picture: String,
}

#[derive(Template)]
#[template(path = "cards.html")]
struct Cards {
    township: String,
    address: String,
    until: String,
    cards: Vec<Card>,
}

impl Cards {
    fn zh(&self, key: &str) -> &'static str {
        texts::text(key, Language::Zh)
    }

    fn en(&self, key: &str) -> &'static str {
        texts::text(key, Language::En)
    }
}

/// Makes invitations. People of the same name and unit are the same person: an invitation is for one more phone of theirs.
pub fn invite(args: &InviteArgs) -> Outcome {
    let people = match (&args.people, &args.name) {
        (Some(file), _) => read_people(&std::fs::read(file)?)?,
        (None, Some(name)) => vec![Named::new(name, &args.unit).ok_or("a name has 1 to 64 characters")?],
        (None, None) => return Err("give --name or --people".into()),
    };
    let service = open_service(&args.data)?;
    let township = the_township(&*service.storage, args.township)?;
    let address = args.address.as_deref().unwrap_or_default().trim_end_matches('/');
    let invitation = |code: String| Invitation { server_url: address.to_owned(), identity: service.identity(), code };
    if let Some(file) = &args.cards {
        // before anybody is made or invited
        let sample = invitation("A".repeat(26)).to_string().parse::<Invitation>();
        if !sample.is_ok_and(|sample| sample.is_private()) {
            return Err(format!("{address:?} isn't an address as https://survey.example.org").into());
        }
        if file.exists() {
            return Err(format!("{} is there already", file.display()).into());
        }
    }
    let area = args.area.as_ref().map_or(Ok(township), |name| area_by(&service, township, name))?;
    let users = service.people_named(Actor::CommandLine, township, &people, (&args.role, area))?;
    let invited = service.invite_all(Actor::CommandLine, township, users)?;
    let Some(file) = &args.cards else {
        invited.iter().for_each(|one| say!("{}", one.code));
        return Ok(ExitCode::SUCCESS);
    };
    let mut cards = Vec::new();
    for Invited { user, code } in invited {
        let link = invitation(code.clone()).to_string();
        cards.push(Card { name: user.name, unit: user.unit, code, picture: picture(&link)? });
    }
    let (_, areas) = service.storage.areas(township)?;
    let name = areas.iter().find(|a| a.area == township).map(|a| a.name_zh.clone()).unwrap_or_default();
    let until = times::minute(service.invitation_end_ms()).unwrap_or_default();
    let count = cards.len();
    let sheet = Cards { township: name, address: address.to_owned(), until, cards };
    new_private_file(file)?.write_all(sheet.render()?.as_bytes())?;
    say!("{} invitations in {}: print it, hand the cards out, delete the file", count, file.display());
    Ok(ExitCode::SUCCESS)
}

/// People of a CSV file, UTF-8 with or without mark; each once.
fn read_people(bytes: &[u8]) -> Result<Vec<Named>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "the file isn't UTF-8; save it in the spreadsheet program as \"CSV UTF-8\"")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut people = Vec::new();
    let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    for (number, line) in lines.records().enumerate() {
        let line = line?;
        let (name, unit) = (line.get(0).unwrap_or_default(), line.get(1).unwrap_or_default());
        let is_header = number == 0 && matches!(name.trim(), "姓名" | "name" | "Name");
        if is_header || line.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let person =
            Named::new(name, unit).ok_or_else(|| format!("line {}: a name has 1 to 64 characters", number + 1))?;
        if !people.contains(&person) {
            people.push(person);
        }
        if people.len() > INVITED_AT_ONCE {
            return Err(format!("more than {INVITED_AT_ONCE} people; split the file").into());
        }
    }
    if people.is_empty() { Err("there is nobody in the file".into()) } else { Ok(people) }
}

fn picture(link: &str) -> Result<String, Fault> {
    let code = QrCode::with_error_correction_level(link, EcLevel::M)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(200, 200).quiet_zone(true).build())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn people_are_read_once_each_with_and_without_header_and_unit() {
        let csv = "\u{feff}姓名,单位\n 张三 ,教育局\n\n李四\n张三,教育局\n";
        let wanted = [("张三", "教育局"), ("李四", "")].map(|(n, u)| Named::new(n, u).unwrap());
        assert_eq!(read_people(csv.as_bytes()).unwrap(), wanted);
        assert!(read_people("姓名\n".as_bytes()).is_err());
        assert!(read_people(&[0xD0, 0xD5, 0xC3, 0xFB]).unwrap_err().to_string().contains("UTF-8"));
        assert!(read_people("a,b\n,c\n".as_bytes()).unwrap_err().to_string().contains("line 2"));
    }
}
