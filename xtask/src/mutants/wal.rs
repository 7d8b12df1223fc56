//! Planted bugs of the log.

use super::{Killer, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "told-durable-with-the-others",
        rule: "who waits is told once its own batch is durable",
        file: "crates/raft-wal/src/wal/waiting.rs",
        old: r"self.0.extract_if(.., |(seq, _)| *seq <= durable))",
        new: r"self.0.extract_if(.., |(seq, _)| *seq >= BatchSeq::default() || *seq <= durable))",
        killer: Killer::Tests("raft-wal::only_those_are_woken"),
    },
    Mutant {
        name: "woken-thread-keeps-the-news",
        rule: "a thread that is woken wakes those whom it was told of",
        file: "crates/raft-wal/src/wal/waiting.rs",
        old: r"                Self::tell_all(news, others);",
        new: r"                drop(others);",
        killer: Killer::Tests("raft-wal::who_has_the_seat_wakes_two_threads_and_they_the_others"),
    },
    Mutant {
        name: "nobody-looks-for-the-seat",
        rule: "who leaves the desk has one of those who wait write the next batches",
        file: "crates/raft-wal/src/wal/desk.rs",
        old: r"if hall.is_starved { None } else { hall.waiting.next_sleeper() };",
        new: r"hall.waiting.next_sleeper().filter(|_| false);",
        killer: Killer::Tests("raft-wal::who_leaves_wakes_one"),
    },
    Mutant {
        name: "keeper-gives-the-directory-up",
        rule: "the directory is locked while a thread of the log is at work",
        file: "crates/raft-wal/src/wal/keeper.rs",
        old: r"        let _lock = lock;",
        new: r"        drop(lock);",
        killer: Killer::Tests("raft-wal::the_directory_is_locked_as_long_as_there_may_be_chores"),
    },
    Mutant {
        name: "panic-of-a-callback-leaves-the-keeper",
        rule: "a log that is closed may be opened again, whatever has stopped it",
        file: "crates/raft-wal/src/wal/writer.rs",
        old: r"            && catch_unwind(AssertUnwindSafe(|| seat.say_why(Arc::clone(error)))).is_err()",
        new: r"            && Result::<(), ()>::Ok(seat.say_why(Arc::clone(error))).is_err()",
        killer: Killer::Tests("raft-wal::a_callback_that_panics_ends_the_log_in_order"),
    },
    Mutant {
        name: "panic-of-a-waker-spreads",
        rule: "a log that is closed may be opened again, whatever has stopped it",
        file: "crates/raft-wal/src/wal/waiting.rs",
        old: r"if catch_unwind(AssertUnwindSafe(|| task.wake())).is_err() {",
        new: r"if Result::<(), ()>::Ok(task.wake()).is_err() {",
        killer: Killer::Tests("raft-wal::a_task_that_panics_when_it_is_woken_takes_nobody_with_it"),
    },
    Mutant {
        name: "no-sync",
        rule: "what is reported is durable",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"            self.encode_insurance();
        }
        self.write_buffer()?;
        self.sync()",
        new: r"            self.encode_insurance();
        }
        self.write_buffer()",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "sync-error-ignored",
        rule: "a sync that failed is never believed (regression 40)",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r#"synced.doing("sync", &segment.path).map_err(|error| self.fail(error))?;"#,
        new: r#"drop(synced.doing("sync", &segment.path));"#,
        killer: Killer::Simulator,
    },
    Mutant {
        name: "write-error-ignored",
        rule: "a write that failed stops the log",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r#"written.doing("write to", &segment.path).map_err(|error| self.fail(error))?;"#,
        new: r#"drop(written.doing("write to", &segment.path));"#,
        killer: Killer::Simulator,
    },
    Mutant {
        name: "claims-more-durable-than-is",
        rule: "a batch says how much was durable before it",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"            durable_seq: self.chain.durable_seq,
            prev_crc",
        new: r"            durable_seq: self.chain.seq + 1,
            prev_crc",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "truncation-not-logged",
        rule: "a truncation is logged",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"                if let Some(from) = truncate_from {
                    self.truncate(slot, from);
                }",
        new: r"                if let Some(from) = truncate_from.filter(|_| entries.is_empty()) {
                    self.truncate(slot, from);
                }",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "hard-state-lost-beside-entries",
        rule: "term and vote are logged",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"if let Some(state) = *hard_state {",
        new: r"if let Some(state) = hard_state.filter(|_| entries.is_empty()) {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "hard-state-falls-behind",
        rule: "the newest term and vote are recovered",
        file: "crates/raft-wal/src/recovery/replay.rs",
        old: r"            Change::HardState(_) => lost.hard_state = false,",
        new: r"            Change::HardState(state) if state.vote.is_none() => return false,
            Change::HardState(_) => lost.hard_state = false,",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "compaction-keeps-conflicts",
        rule: "what conflicts with a snapshot is removed",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"if conflict && upto.index < last {",
        new: r"if conflict && upto.index > last {",
        killer: Killer::Tests("raft-wal::a_snapshot_that_contradicts_the_log"),
    },
    Mutant {
        name: "durable-batch-called-torn",
        rule: "what a later batch calls durable is not torn (regression 45)",
        file: "crates/raft-wal/src/recovery/verdict.rs",
        old: r"if signs.durable_seq >= signs.expected_seq {",
        new: r"if signs.durable_seq > signs.expected_seq {",
        killer: Killer::Tests("raft-wal::"),
    },
    Mutant {
        name: "log-membership-survives-truncation",
        rule: "a truncated log forgets its memberships",
        file: "crates/raft-wal/src/group.rs",
        old: r"        self.memberships.truncate(self.memberships.partition_point(|index| *index < from));
        true",
        new: r"        true",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "terms-survive-truncation",
        rule: "a truncated log forgets its later terms",
        file: "crates/raft-wal/src/group.rs",
        old: r"self.runs.truncate(self.runs.partition_point(|run| run.index < from));",
        new: r"self.runs.truncate(self.runs.partition_point(|run| run.index <= from));",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "compaction-loses-a-membership",
        rule: "what is after a compaction stays",
        file: "crates/raft-wal/src/group.rs",
        old: r"self.memberships.retain(|index| *index >= first);",
        new: r"self.memberships.retain(|index| *index > first);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "compaction-loses-a-term",
        rule: "what is after a compaction stays",
        file: "crates/raft-wal/src/group.rs",
        old: r"        self.runs.retain(|run| run.index > first);
        if let Some(term) = first_term {",
        new: r"        self.runs.retain(|run| run.index > first.next());
        if let Some(term) = first_term {",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "cache-survives-truncation",
        rule: "what was removed is not read",
        file: "crates/raft-wal/src/view.rs",
        old: r"            freed = group.cache.truncate(from);",
        new: r"            freed = group.cache.truncate(from.next());",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "cache-drops-what-is-not-written",
        rule: "what is not written is read from memory",
        file: "crates/raft-wal/src/tail_cache.rs",
        old: r"self.entries.pop_front_if(|c| c.seq <= durable)",
        new: r"self.entries.pop_front_if(|c| c.seq >= BatchSeq::default() || c.seq <= durable)",
        killer: Killer::Tests("raft-wal::tail_cache"),
    },
    Mutant {
        name: "places-survive-truncation",
        rule: "what was removed is not read",
        file: "crates/raft-wal/src/places.rs",
        old: r"                truncate(extents, from);
                self",
        new: r"                truncate(extents, from.next());
                self",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "segment-name-not-synced",
        rule: "a new segment is durable before it is used",
        file: "crates/raft-wal/src/segment.rs",
        old: r#"        disk.rename(&temporary, &name).doing("rename the new segment to", &segment.path)?;
        disk.sync_dir().doing("sync the directory", &disk.path(""))?;"#,
        new: r#"        disk.rename(&temporary, &name).doing("rename the new segment to", &segment.path)?;"#,
        killer: Killer::Simulator,
    },
    Mutant {
        name: "segment-not-synced",
        rule: "a new segment is durable before it is used",
        file: "crates/raft-wal/src/segment.rs",
        old: r#"        file.write_all_at(0, &block.encode()).doing("write the header of", &path)?;
        file.sync_data().doing("sync", &path)?;"#,
        new: r#"        file.write_all_at(0, &block.encode()).doing("write the header of", &path)?;"#,
        killer: Killer::Simulator,
    },
    Mutant {
        name: "ident-name-not-synced",
        rule: "a log that exists is found again",
        file: "crates/raft-wal/src/recovery/creation.rs",
        old: r#"    disk.rename(&temporary, IDENT).doing("rename a file to", &disk.path(IDENT))?;
    disk.sync_dir().doing("sync the directory", &disk.path(""))"#,
        new: r#"    disk.rename(&temporary, IDENT).doing("rename a file to", &disk.path(IDENT))"#,
        killer: Killer::Tests("raft-wal::a_log_that_is_given_to_another_cluster"),
    },
    Mutant {
        name: "deletes-what-is-used",
        rule: "a segment is deleted when nobody needs it",
        file: "crates/raft-wal/src/log/room.rs",
        old: r"            if view.places.uses(number) {
                break;
            }
",
        new: r"            if view.places.uses(number) && number + 2 >= active {
                break;
            }
",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "recovery-not-synced",
        rule: "recovery's decision is durable before anything rests on it",
        file: "crates/raft-wal/src/recovery/activate.rs",
        old: r#"    segment.file.write_all_at(BLOCK, &buffer).doing("write to", &segment.path)?;
    segment.file.sync_data().doing("sync", &segment.path)?;"#,
        new: r#"    segment.file.write_all_at(BLOCK, &buffer).doing("write to", &segment.path)?;"#,
        killer: Killer::Tests("raft-wal::crash"),
    },
    Mutant {
        name: "sealed-before-the-next-begins",
        rule: "a segment is sealed once the next one has begun",
        file: "crates/raft-wal/src/log/room.rs",
        old: r"self.full.take_if(|_| self.active.pin.is_none())",
        new: r"self.full.take_if(|_| self.active.pin.is_none() || self.active.first_seq > 0)",
        killer: Killer::Tests("raft-wal::a_segment_that_was_begun_for_nothing"),
    },
    Mutant {
        name: "removed-entry-called-damaged",
        rule: "what is damaged and not part of the log is no loss",
        file: "crates/raft-wal/src/recovery/verify.rs",
        old: r"        extents.any(|extent| extent.segment == self.segment)",
        new: r"        extents.next().is_some() | true",
        killer: Killer::Tests("raft-wal::what_is_damaged_and_no_longer"),
    },
    Mutant {
        name: "repaired-entry-called-damaged",
        rule: "an entry that was written again is read from there",
        file: "crates/raft-wal/src/recovery/verify.rs",
        old: r"
            && places.moved(group, index, index).next().is_none()",
        new: r"",
        killer: Killer::Tests("raft-wal::every_"),
    },
    Mutant {
        name: "segments-in-the-order-they-were-read",
        rule: "several threads find what one finds",
        file: "crates/raft-wal/src/recovery/beside.rs",
        old: r"        read.sort_unstable_by_key(|(nth, _)| *nth);
",
        new: r"",
        killer: Killer::Tests("raft-wal::beside"),
    },
    Mutant {
        name: "no-sync-without-entries",
        rule: "term and vote are durable when they are reported",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"        self.write_buffer()?;
        self.sync()
    }

    /// Repeats",
        new: r"        self.write_buffer()?;
        if !self.flight.changes.iter().any(|(_, _, c)| matches!(c, Change::Entry(..))) {
            return Ok(());
        }
        self.sync()
    }

    /// Repeats",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "no-sync-after-the-roll",
        rule: "the first write to a segment is synced as all others",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"        self.write_buffer()?;
        self.sync()
    }

    /// Repeats",
        new: r"        let is_first = self.active.pin.is_some();
        self.write_buffer()?;
        if is_first {
            return Ok(());
        }
        self.sync()
    }

    /// Repeats",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "every-eighth-sync-skipped",
        rule: "what is reported is durable",
        file: "crates/raft-wal/src/log/flight.rs",
        old: r"        let synced = segment.file.sync_data();",
        new: r"        let synced =
            if self.chain.seq % 8 == 7 { Ok(()) } else { segment.file.sync_data() };",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "received-snapshot-not-synced",
        rule: "a snapshot is durable before it is published",
        file: "crates/raft-snapshot/src/partial.rs",
        old: r#"        self.file.sync_data().doing("sync", &path)?;
        // Their name"#,
        new: r#"        // Their name"#,
        killer: Killer::Simulator,
    },
    Mutant {
        name: "compacted-segments-stay",
        rule: "what was compacted is gone from the disk",
        file: "crates/raft-wal/src/log/room.rs",
        old: r"        if compacts {
            self.delete_unused();",
        new: r"        if compacts && self.active.segment.number == 0 {
            self.delete_unused();",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "lost-entries-of-another-term",
        rule: "what is known of lost entries is so",
        file: "crates/raft-wal/src/recovery/replay.rs",
        old: r"let term = term.filter(|term| *term == log.last().term);",
        new: r"let term = term.filter(|term| *term != log.last().term);",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "full-chunk-never-written",
        rule: "a snapshot of any length can be taken",
        file: "crates/raft-snapshot/src/writer.rs",
        old: r"        if part.len() == room {
            self.write_chunk()",
        new: r"        if part.len() == room && self.written == 0 {
            self.write_chunk()",
        killer: Killer::Simulator,
    },
    Mutant {
        name: "old-snapshots-stay",
        rule: "old snapshots make way for new ones",
        file: "crates/raft-snapshot/src/store/mod.rs",
        old: r"let Some(oldest) = catalogue.retire(self.options().retain) else { return Ok(()) };",
        new: r"let Some(oldest) = catalogue.retire(self.options().retain + 4) else { return Ok(()) };",
        killer: Killer::Simulator,
    },
];
