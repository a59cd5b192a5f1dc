//! What the command line of a table says, and how its figures are written.

use std::fs::File;

/// `[--row PART] [--subject PART] [--rounds N] [--seconds S] [--json FILE]`
#[derive(Debug)]
pub struct Options {
    /// Only rows with this in their names.
    pub row: String,
    /// Only subjects with this in their names.
    pub subject: String,
    /// How often each is measured.
    pub rounds: usize,
    /// For how long each time, about.
    pub seconds: f64,
    /// Where a line of JSON goes for each time.
    pub json: Option<File>,
}

impl Options {
    /// What the command line says, or else so many rounds of so many seconds.
    pub fn read(rounds: usize, seconds: f64) -> Result<Self, String> {
        let mut options = Self { row: String::new(), subject: String::new(), rounds, seconds, json: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            let invalid = || format!("{argument} {value} makes no sense");
            match argument.as_str() {
                "--row" => options.row = value,
                "--subject" => options.subject = value,
                "--rounds" => options.rounds = value.parse().map_err(|_| invalid())?,
                "--seconds" => options.seconds = value.parse().map_err(|_| invalid())?,
                "--json" => options.json = Some(File::create(&value).map_err(|error| error.to_string())?),
                _ => return Err(format!("there is no option {argument}")),
            }
        }
        Ok(options)
    }
}

/// Four digits that count.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        it if it >= 1e6 => format!("{:.3} M", figure / 1e6),
        it if it >= 1e4 => format!("{:.1} K", figure / 1e3),
        it if it >= 100.0 => format!("{figure:.0}"),
        it if it >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}
