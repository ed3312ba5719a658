//! Rows of text under headings: no borders, two spaces between columns, nothing cut off.

use crate::screen::{Screen, Tone, harmless};

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl From<String> for Cell {
    /// What there is nothing of is a dash, so that every line has as many words as headings.
    fn from(text: String) -> Cell {
        let text = if text.trim().is_empty() { "-".to_owned() } else { harmless(&text) };
        Cell { text, tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::from(text.to_owned())
    }
}

/// The table as text. Without rows, the headings alone.
pub(crate) fn render(screen: &Screen, headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = (String, usize)>| {
        let mut gap = 0;
        for ((shown, length), width) in cells.zip(&widths) {
            text.push_str(&" ".repeat(gap));
            text.push_str(&shown);
            gap = width + 2 - length;
        }
        text.push('\n');
    };
    line(&mut headings.iter().map(|heading| ((*heading).to_owned(), heading.chars().count())));
    for row in rows {
        line(&mut row.iter().map(|cell| (screen.tint(cell.tone, &cell.text), cell.text.chars().count())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let rows =
            vec![vec!["web-1".into(), "".into(), "é".into()], vec!["b".into(), "on".into(), "x".into()]];
        let text = render(&Screen::new(), &["NAME", "POWER", "X"], &rows);
        assert_eq!(text, "NAME   POWER  X\nweb-1  -      é\nb      on     x\n");
        assert_eq!(render(&Screen::new(), &["NAME"], &[]), "NAME\n");
    }
}
