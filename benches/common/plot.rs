//! Plots as SVG, in colours that can be read on a light and on a dark page.

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, EmptyElement, IntoDrawingArea, IntoFont, LineSeries,
    PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::{Deserialize, Serialize};

use super::ruler::{Ruler, Scale};

const SIZE: (u32, u32) = (820, 420);
/// The height of one bar and what goes with it.
const BAR_HEIGHT: u32 = 34;
/// Between black and white, so that it stands out from either.
const INK: RGBColor = RGBColor(125, 133, 144);
const BAR: RGBColor = RGBColor(47, 129, 247);
const COLOURS: [RGBColor; 5] = [
    BAR,
    RGBColor(219, 109, 40),
    RGBColor(46, 160, 67),
    RGBColor(163, 113, 247),
    RGBColor(219, 97, 162),
];
const TEXT_SIZE: i32 = 17;
const TITLE_SIZE: i32 = 20;
const LEGEND_HEIGHT: u32 = 26;

/// A picture of figures.
#[derive(Serialize, Deserialize)]
pub struct Plot {
    /// The name of its file.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// How.
    pub shape: Shape,
}

/// How figures are shown.
#[derive(Serialize, Deserialize)]
pub enum Shape {
    /// One figure as it follows another.
    Lines {
        /// What goes to the right.
        x: Axis,
        /// What goes up.
        y: Axis,
        /// What is drawn.
        lines: Vec<Line>,
        /// A part of the horizontal axis to stand out, and its name.
        band: Option<(f64, f64, String)>,
    },
    /// Figures beside each other.
    Bars {
        /// What they are figures of.
        unit: String,
        /// Their names and lengths, from the top.
        bars: Vec<Line>,
    },
}

/// An axis.
#[derive(Serialize, Deserialize)]
pub struct Axis {
    /// What it measures, with its unit.
    pub name: String,
    /// How it measures it.
    pub scale: Scale,
}

/// A curve, or a bar if it has a single point.
#[derive(Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Where it goes through; of a bar, the second figure is its length.
    pub points: Vec<(f64, f64)>,
    /// Whether it is there to compare the others with.
    pub is_reference: bool,
}

impl Plot {
    /// The picture.
    pub fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        let size = match &self.shape {
            Shape::Lines { .. } => SIZE,
            Shape::Bars { bars, .. } => (SIZE.0, 50 + BAR_HEIGHT * u32::try_from(bars.len())?),
        };
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let titled = area.titled(&self.title, text(TITLE_SIZE)).map_err(failed)?;
            match &self.shape {
                Shape::Lines { x, y, lines, band } => {
                    draw_lines(&titled, [x, y], lines, band.as_ref())?;
                }
                Shape::Bars { unit, bars } => draw_bars(&titled, unit, bars)?,
            }
            area.present().map_err(failed)?;
        }
        Ok(svg + "\n")
    }
}

fn draw_lines(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    [x, y]: [&Axis; 2],
    lines: &[Line],
    band: Option<&(f64, f64, String)>,
) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x_ruler = Ruler::for_all(x.scale, points().map(|point| point.0));
    let y_ruler = Ruler::for_all(y.scale, points().map(|point| point.1));
    let height = y_ruler.range();
    let shade = INK.mix(0.2);
    let names = lines.iter().zip(styles(lines)).map(|(line, style)| (line.name.as_str(), style));
    let names = names.chain(band.map(|(.., name)| (name.as_str(), shade.stroke_width(12))));
    let (legend, area) = area.split_vertically(LEGEND_HEIGHT);
    draw_legend(&legend, names)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(68)
        .build_cartesian_2d(x_ruler, y_ruler)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(INK.mix(0.25))
        .label_style(text(TEXT_SIZE))
        .x_desc(&x.name)
        .y_desc(&y.name)
        .draw()
        .map_err(failed)?;
    if let Some((from, to, _)) = band {
        let corners = [(*from, height.start), (*to, height.end)];
        chart.draw_series([Rectangle::new(corners, shade.filled())]).map_err(failed)?;
    }
    for (line, style) in lines.iter().zip(styles(lines)) {
        let points = line.points.iter().copied();
        chart.draw_series(LineSeries::new(points, style)).map_err(failed)?;
    }
    Ok(())
}

/// Names what is drawn, side by side, each behind a stroke of its style.
fn draw_legend<'a>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    names: impl Iterator<Item = (&'a str, ShapeStyle)>,
) -> Result<()> {
    /// About what a character is wide.
    const CHARACTER: i32 = 7;
    const STROKE: i32 = 24;
    let middle = i32::try_from(LEGEND_HEIGHT / 2)?;
    let style = text(TEXT_SIZE).pos(Pos::new(HPos::Left, VPos::Center));
    let mut left = 78;
    for (name, stroke) in names {
        area.draw(&PathElement::new([(left, middle), (left + STROKE, middle)], stroke))
            .map_err(failed)?;
        left += STROKE + CHARACTER;
        area.draw(&Text::new(name.to_owned(), (left, middle), style.clone())).map_err(failed)?;
        left += CHARACTER * (i32::try_from(name.len())? + 3);
    }
    Ok(())
}

fn draw_bars(area: &DrawingArea<SVGBackend<'_>, Shift>, unit: &str, bars: &[Line]) -> Result<()> {
    let longest = bars.iter().filter_map(length).fold(0.0, f64::max);
    let count = f64::from(u32::try_from(bars.len())?);
    let mut chart = ChartBuilder::on(area)
        .margin_right(120)
        .margin_left(250)
        .build_cartesian_2d(0.0..longest, 0.0..count)
        .map_err(failed)?;
    let beside = |at| text(TEXT_SIZE).pos(Pos::new(at, VPos::Center));
    let mut middle = count + 0.5;
    for bar in bars {
        middle -= 1.0;
        let style = if bar.is_reference { INK } else { BAR };
        let length = length(bar).context("a bar without a length")?;
        let (from, to) = ((0.0, middle - 0.35), (length, middle + 0.35));
        chart.draw_series([Rectangle::new([from, to], style.filled())]).map_err(failed)?;
        let name = EmptyElement::at((0.0, middle))
            + Text::new(bar.name.clone(), (-10, 0), beside(HPos::Right));
        let figure = EmptyElement::at((length, middle))
            + Text::new(format!("{length:.1} {unit}"), (8, 0), beside(HPos::Left));
        chart.draw_series([name]).map_err(failed)?;
        chart.draw_series([figure]).map_err(failed)?;
    }
    Ok(())
}

fn length(bar: &Line) -> Option<f64> {
    bar.points.first().map(|point| point.1)
}

/// The colour of each line; a reference has none of its own.
fn styles(lines: &[Line]) -> impl Iterator<Item = ShapeStyle> {
    let mut colours = COLOURS.iter().cycle();
    lines.iter().map(move |line| {
        let colour = if line.is_reference { None } else { colours.next() };
        colour.unwrap_or(&INK).stroke_width(2)
    })
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Drawing fails with errors that borrow what was drawn on.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot could not be drawn: {error}")
}
