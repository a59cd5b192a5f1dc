//! Limits of bandwidth: what of a connection is sent and read now.

use super::network::Network;
use super::queues::QueuePool;
use super::table::{Connection, Table};
use super::throttle::{Lane, Share, Shares, Throttle};
use super::transmit::Transmit;
use crate::connection::ConnectionId;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{Batch, Priority};

impl Network {
    /// Moves what waits on a connection into `out`, within the limits of bandwidth.
    pub(super) fn transmit_shaped(
        upload: &mut Throttle,
        id: ConnectionId,
        connection: &mut Connection,
        now: Time,
        max_len: usize,
        pool: &mut QueuePool,
        out: &mut Transmit,
    ) {
        let Connection { queues, shares: Some(shares), .. } = connection else { return };
        let share = &mut shares.upload;
        while out.len() < max_len && !queues.is_empty() {
            let before = out.len();
            let mut lane = Lane::Regular;
            let mut room = match share.is_opening {
                true => 0,
                false => upload.room(lane, id, share, now, queues.total_bytes()),
            };
            if room > 0 {
                queues.transmit(max_len.min(before.saturating_add(room)), pool, out);
            } else {
                let waiting = queues.total_bytes();
                if queues.queued_frames(Priority::Critical) == 0 {
                    break;
                }
                lane = Lane::Urgent;
                room = upload.room(lane, id, share, now, waiting);
                if room == 0 {
                    break;
                }
                queues.transmit_critical(max_len.min(before.saturating_add(room)), pool, out);
            }
            upload.charge(lane, share, now, (out.len() - before) as u64);
        }
        if queues.is_empty() {
            upload.forget(share, now);
        }
    }

    /// The next connection that has waited for a limit of bandwidth and may send.
    #[cold]
    pub(super) fn poll_writable(&mut self) -> Option<ConnectionId> {
        let now = self.now.time;
        let id = Self::next_released(&mut self.table, &mut self.upload, now, |it| &mut it.upload)?;
        if let Some(connection) = self.table.get_mut(id)
            && connection.waiting_since.is_none()
            && !connection.queues.is_empty()
        {
            connection.waiting_since = Some(now);
            self.arm(id, now + self.limits.write_timeout());
        }
        Some(id)
    }

    /// Whether there is any limit of bandwidth.
    #[inline]
    pub(super) const fn is_limited(&self) -> bool {
        self.upload.is_limited() || self.download.is_limited()
    }

    /// When there will be turns again for somebody who waits for one.
    #[cold]
    pub(super) fn next_turn_at(&self) -> Option<Time> {
        let now = self.now.time;
        [self.upload.deadline(now), self.download.deadline(now)].into_iter().flatten().min()
    }

    /// The next connection that has waited for a limit of bandwidth and may go on.
    fn next_released(
        table: &mut Table,
        throttle: &mut Throttle,
        now: Time,
        share: fn(&mut Shares) -> &mut Share,
    ) -> Option<ConnectionId> {
        while let Some(id) = throttle.next_paid() {
            if table.get(id).is_some() {
                return Some(id);
            }
        }
        let (lane, id) = throttle.next_turn(now)?;
        debug_assert!(table.get(id).is_some(), "who is gone waits for no turn");
        if let Some(shares) = table.get_mut(id).and_then(|it| it.shares.as_deref_mut()) {
            Throttle::give_turn(lane, share(shares));
        }
        Some(id)
    }

    /// Leaves in `batch` what the limits of bandwidth let pass now, and charges it; the rest.
    pub(super) fn take_turn(&mut self, id: ConnectionId, batch: &mut Batch) -> Option<Batch> {
        let now = self.now.time;
        let connection = self.table.get_mut(id)?;
        let share = &mut connection.shares.as_deref_mut()?.download;
        let mut taken = 0;
        // They stand before the frames.
        let mut unframed = batch.unframed_bytes();
        // A frame that came in chunks was told of, but for the last one.
        let told = |passes: usize| if passes > 0 { batch.told_bytes() } else { 0 };
        while taken < batch.len() || unframed > 0 {
            let waiting = (batch.len() + unframed).saturating_sub(batch.told_bytes() + taken);
            let mut lane = Lane::Regular;
            let mut passes = 0;
            if !share.is_opening {
                let room = self.download.room(lane, id, share, now, waiting);
                passes =
                    if room > 0 { batch.front_bytes(taken, room.saturating_sub(unframed), None) } else { 0 };
                if room > 0 && passes == 0 && unframed == 0 {
                    debug_assert!(false, "where there is room a frame passes");
                    break;
                }
                if room > 0 {
                    self.download.charge(lane, share, now, (passes + unframed - told(passes)) as u64);
                    (taken, unframed) = (taken + passes, 0);
                    continue;
                }
            }
            lane = Lane::Urgent;
            let urgent = if share.is_opening { None } else { Some(Priority::Critical) };
            if batch.front_bytes(taken, 1, urgent) == 0 && !(share.is_opening && unframed > 0) {
                break;
            }
            let room = self.download.room(lane, id, share, now, waiting);
            if room == 0 {
                break;
            }
            passes += batch.front_bytes(taken, room, urgent);
            self.download.charge(lane, share, now, (passes + unframed - told(passes)) as u64);
            (taken, unframed) = (taken + passes, 0);
        }
        let wake_at = share.wake_at();
        let is_all = taken == batch.len() && unframed == 0;
        if is_all {
            self.download.forget(share, now);
            return None;
        }
        if let Some(at) = wake_at {
            self.arm(id, at);
        }
        let mut front = batch.split_front(taken);
        front.set_unframed_bytes(front.unframed_bytes() - unframed);
        batch.set_unframed_bytes(unframed);
        Some(core::mem::replace(batch, front))
    }

    /// Bytes arrived that will never be a frame.
    pub(super) fn charge_cut(&mut self, id: ConnectionId, bytes: usize) {
        let now = self.now.time;
        if let Some(shares) = self.table.get_mut(id).and_then(|it| it.shares.as_deref_mut()) {
            let share = &mut shares.download;
            let lane = if share.is_opening { Lane::Urgent } else { Lane::Regular };
            self.download.charge_own(lane, share, now, bytes as u64);
        }
    }

    /// The next connection that may be read on.
    pub(super) fn poll_readable(&mut self) -> Option<ConnectionId> {
        Self::next_released(&mut self.table, &mut self.download, self.now.time, |it| &mut it.download)
    }

    /// A connection becomes a session.
    pub(super) fn open_accounts(&mut self, id: ConnectionId, peer: &Peer) {
        let now = self.now.time;
        if let Some(shares) = self.table.get_mut(id).and_then(|it| it.shares.as_deref_mut()) {
            self.upload.open_account(id, &mut shares.upload, peer, now);
            self.download.open_account(id, &mut shares.download, peer, now);
        }
    }

    /// A connection has ended. What had arrived and was held back is charged: it was read.
    pub(super) fn close_accounts(&mut self, shares: &mut Shares, peer: Option<&Peer>) {
        let now = self.now.time;
        let Shares { upload, download } = shares;
        let lane = if download.is_opening { Lane::Urgent } else { Lane::Regular };
        let late = download.late;
        self.upload.forget(upload, now);
        self.download.forget(download, now);
        if late > 0 {
            self.download.charge_own(lane, download, now, late);
        }
        if let Some(peer) = peer {
            self.upload.keep_account(upload, peer, now);
            self.download.keep_account(download, peer, now);
        }
    }
}
