//! `spacetime ban`, `unban`, `bans`, `trust`, `untrust`: who is let in.

use clap::Args;
use jiff::{Span, SpanRelativeTo};
use spacetime_peers::{Ban, Target};

use super::running_node::RunningNode;
use super::say;
use super::table::Table;
use crate::app::AppError;
use crate::app::peers_file::Date;
use crate::app::questions::{BansAnswer, Question, TrustAnswer, UnbanAnswer};

#[derive(Args, Debug)]
pub(super) struct BanArguments {
    #[command(flatten)]
    node: RunningNode,

    /// An IP address, a network as in 198.51.0.0/16, ADDRESS:PORT on private networks, or a peer id
    /// (where the transport proves it; plain TCP does not)
    target: Target,

    /// For how long, as in 90m, 36h or 7d [default: for ever]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    seconds: Option<u64>,

    /// Why, for whoever looks at the bans
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
}

#[derive(Args, Debug)]
pub(super) struct TargetArguments {
    #[command(flatten)]
    node: RunningNode,

    /// As for `spacetime ban`
    target: Target,
}

#[derive(Args, Debug)]
pub(super) struct BansArguments {
    #[command(flatten)]
    node: RunningNode,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Reads a duration, in seconds. A day is 24 hours.
fn duration(text: &str) -> Result<u64, String> {
    let span: Span = text.parse().map_err(|_| "give a duration as in 90m, 36h or 7d")?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let seconds = duration.map_err(|error| error.to_string())?.as_secs();
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(|| "give at least a second".into())
}

pub(super) fn ban(arguments: BanArguments) -> Result<(), AppError> {
    let BanArguments { node, target, seconds, reason } = arguments;
    let ban: Ban = node.ask(&Question::Ban { target, seconds, reason: reason.into() })?;
    say(format_args!("{} is banned {}", ban.target, until(&ban)));
    Ok(())
}

pub(super) fn unban(arguments: TargetArguments) -> Result<(), AppError> {
    let TargetArguments { node, target } = arguments;
    let answer: UnbanAnswer = node.ask(&Question::Unban { target: target.clone() })?;
    if answer.was_banned {
        say(format_args!("{target} is no longer banned"));
    } else {
        say(format_args!("{target} was not banned"));
    }
    for wider in answer.still_banned_by {
        say(format_args!("but {wider} is, and it belongs to that"));
    }
    Ok(())
}

pub(super) fn trust(arguments: TargetArguments) -> Result<(), AppError> {
    let TargetArguments { node, target } = arguments;
    let TrustAnswer { was_trusted } = node.ask(&Question::Trust { target: target.clone() })?;
    say(format_args!("{target} {} trusted", if was_trusted { "was already" } else { "is" }));
    Ok(())
}

pub(super) fn untrust(arguments: TargetArguments) -> Result<(), AppError> {
    let TargetArguments { node, target } = arguments;
    let TrustAnswer { was_trusted } = node.ask(&Question::Untrust { target: target.clone() })?;
    say(format_args!("{target} {} trusted", if was_trusted { "is no longer" } else { "was not" }));
    Ok(())
}

pub(super) fn bans(arguments: BansArguments) -> Result<(), AppError> {
    let BansArguments { node, json } = arguments;
    let answer: BansAnswer = node.ask(&Question::Bans)?;
    if json {
        let json =
            serde_json::to_string(&answer).map_err(|error| AppError::failed("cannot write JSON", error))?;
        say(json);
        return Ok(());
    }
    let mut table = Table::new(["BANNED", "UNTIL", "REASON"]);
    for ban in answer.bans {
        let (until, target) = (until(&ban), ban.target.to_string());
        table.add([target, until.trim_start_matches("until ").into(), ban.reason.into()]);
    }
    say(table);
    for target in answer.trusted {
        say(format_args!("trusted: {target}"));
    }
    Ok(())
}

fn until(ban: &Ban) -> String {
    ban.until.map_or_else(|| "for ever".into(), |end| format!("until {}", Date::new(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("90m", 5400),
            ("36h", 129_600),
            ("7d", 604_800),
            ("2 weeks", 1_209_600),
            ("1h 30m", 5400),
        ] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
        }
        for bad in ["", "7", "d", "0s", "100ms", "-1h", "1h ago", "1 month", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
