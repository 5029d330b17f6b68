//! Which resources of a log are read, and in which order.

use std::iter;

use crate::base::log::tile_path::{Content, TilePath};
use crate::base::log::tree::{WIDTH, edge_of};

/// What the leaves from number `from` up to `to` take: bundles of leaves, each with the lowest tile
/// over it, and each tile of the higher levels once everything under it was named.
pub fn plan(from: u64, to: u64) -> impl Iterator<Item = TilePath> {
    let bundles = from / WIDTH..to.div_ceil(WIDTH);
    let edge = edge_of(to).filter(|(tile, width)| tile.level > 0 && *width > 0);
    let edge = edge.map(|(tile, width)| TilePath {
        content: Content::Hashes(tile.level),
        number: tile.number,
        width: width as u64,
    });
    bundles.flat_map(move |number| bundle(number, WIDTH.min(to - number * WIDTH))).chain(edge)
}

/// A bundle, its tile, and the full tiles that end with it.
fn bundle(number: u64, width: u64) -> impl Iterator<Item = TilePath> {
    let path = move |content| TilePath { content, number, width };
    let above = |(level, number): (u8, u64)| {
        let ends = number % WIDTH == WIDTH - 1;
        ends.then(|| (level + 1, number / WIDTH))
    };
    let full = (width == WIDTH).then_some((0, number));
    let higher = iter::successors(full.and_then(above), move |tile| above(*tile));
    let higher = higher.map(move |(level, number)| TilePath {
        content: Content::Hashes(level),
        number,
        width,
    });
    [path(Content::Entries), path(Content::Hashes(0))].into_iter().chain(higher)
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::base::log::tile_path::{Content, TilePath};
    use std::collections::HashSet;
    use tlog_tiles::Tile;

    #[test]
    fn every_tile_of_a_log_is_read_once_and_after_what_is_under_it() {
        for size in [0, 1, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 131_400] {
            let mut read = HashSet::new();
            for path in plan(0, size) {
                if let Content::Hashes(level) = path.content {
                    let below = (path.number * 256..).take(path.width as usize);
                    let below = below.map(|number| (level.wrapping_sub(1), number));
                    assert!(
                        level == 0
                            || below.into_iter().all(|(level, number)| {
                                read.contains(&(Content::Hashes(level), number))
                            })
                    );
                } else {
                    assert_eq!(path.range().end.min(size), path.range().end);
                }
                assert!(read.insert((path.content, path.number)), "{path}");
            }
            let tiles: HashSet<_> = Tile::new_tiles(8, 0, size)
                .iter()
                .map(|tile| (Content::Hashes(tile.level()), tile.level_index()))
                .collect();
            let bundles = (0..size.div_ceil(256)).map(|number| (Content::Entries, number));
            assert_eq!(read, tiles.into_iter().chain(bundles).collect());
        }
    }

    #[test]
    fn more_leaves_take_what_has_changed() {
        let names = |from, to| -> Vec<_> {
            plan(from, to).map(|path: TilePath| path.to_string()).collect()
        };
        assert_eq!(names(0, 0), [""; 0]);
        let more = ["entries/000", "0/000", "entries/001.p/44", "0/001.p/44", "1/000.p/1"];
        assert_eq!(names(200, 300), more);
        assert_eq!(names(256, 300), more[2..]);
    }
}
