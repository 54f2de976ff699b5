// Package natsd runs a nats-server with JetStream inside this process: the store of a gateway that
// has no NATS of its own to connect to. It opens the store, says when the server is ready, records
// how far each stream has come, syncs what is stored, and stops the server. Everything else goes
// through internal/kvclient, as with any other NATS.
//
// # Words
//
// The store is the data directory: JetStream's files, the lock, the record, and what was set aside.
// A stream here is a stream of NATS, of which each bucket is one. A block is a file of messages of
// a stream. The record (streams.json) says how far each stream had come when it was written. A loss
// is data that was stored and is not there any more. A clean stop is one after which the record
// says so; everything else that ends a server, such as a kill, a power cut or a stop that took too
// long, is called a crash here.
//
// # Why the store is inspected
//
// nats-server 2.15.2 opens a store that has lost data without saying so. It cuts a block at the
// first message that it cannot read, everything behind that is gone, and its revisions are given
// out again. One flipped byte at a quarter of a block lost 750 of 1,000 revisions without a line in
// the log. If its state file (index.db) matches the newest block, it reads no block at all; a
// damaged message is then answered as if it had never been written, or keeps the server from
// starting for ever. (All of this was measured.) A gateway whose clients compare revisions must not
// go on like that. So Start reads every block before the server does, and fails with a [LossError]
// if data is lost for certain. Nothing on the disk is changed then. With [Options.AcceptLoss] the
// damaged blocks and the newest one are copied to "set-aside" first, and the server is made to
// rebuild the stream, which keeps its last revision if the state file still has it
// (TestDamagedBlockStopsTheStart).
//
// It is not enough to read some blocks and to compare counts with those of the server: the server
// loads blocks beside the counting, and in ten of thirteen starts the counts were taken before it
// had cut a block.
//
// The server cuts a block without a line in the log while it runs, too, when the block was damaged
// since and the server loads it. It then counts the messages again but not the keys, and a stream
// with fewer messages than keys has lost some. That is logged and recorded, and the next start
// finds a loss (TestLossWhileRunningIsToldAtTheNextStart).
//
// # The store, state by state
//
//	clean     no server runs, and the record says that the last one was stopped
//	crashed   no server runs, and the record says that the last one was not stopped
//	open      a server runs
//	failing   a server runs and takes no writes, since its disk is full or fails, or since what it
//	          has stored is not synced; or none runs until one can be started again
//	hanging   Shutdown has given up waiting for the server
//
//	event                 clean              crashed             open        failing      hanging
//	--------------------  -----------------  ------------------  ----------  -----------  -------
//	Start                 all blocks are     all blocks are      InUseError  InUseError   InUse-
//	                      read, their sizes  read; open                                   Error
//	                      compared; open
//	context ends while    clean              crashed             -           -            -
//	  blocks are read
//	Start finds a loss    LossError; with AcceptLoss copies      -           -            -
//	                      are made, and open
//	it finds one after    LossError, and the record is as it     -           -            -
//	  the server has      was; with AcceptLoss open
//	  opened the store
//	the server does not   the record is as it was, except if a   -           -            -
//	  start               stream is left out or the server
//	                      hangs: then it is not clean
//	record is due         -                  -                   written     written      -
//	the server has lost   -                  -                   logged and  logged and   -
//	  messages                                                   recorded    recorded
//	sync is due           -                  -                   synced      synced       -
//	a sync cannot be      -                  -                   failing,    -            -
//	  tried                                                      until one
//	                                                             succeeds
//	a sync has failed     -                  -                   failing, until the       -
//	                                                             process ends
//	no room on the disk   -                  -                   failing     -            -
//	a write has failed    -                  -                   the server  the server   -
//	                                                             is started  is started
//	                                                             again       again once
//	                                                                         there is room
//	the server does not   -                  -                   failing,    it is tried  -
//	  start again                                                until it    again
//	                                                             runs
//	it hangs in that      -                  -                   failing, and             -
//	  start                                                      Options.Hangs is called
//	Shutdown              -                  -                   clean       clean        -
//	Shutdown cannot sync, -                  -                   crashed     crashed      -
//	  or a sync has failed
//	Shutdown takes long   -                  -                   hanging     hanging      -
//	the server is down    -                  -                   -           -            clean
//	process ends          clean              crashed             crashed     crashed      crashed
//
// With an interval that is shorter than the server's own, natsd syncs and not the server, since the
// server would keep all blocks in memory that were read of late (see syncsItself).
//
// A start has these steps. Each is a function, with the functions that it calls indented below it.
// Each may refuse the store, except limitStreams, whose failure is only logged:
//
//	Start                    locks the store and opens it
//	  prepareDir, lockDir    one process has the store; else InUseError
//	  open                   starts the server on what admit lets pass
//	    admit                all blocks are read, with their progress in the log, and compared
//	                         with the record (inspect)
//	    recorder.begin       the record says from here on that the store is not clean
//	    launch               starts the server, for endOutage as well
//	      repair             what a crash interrupted is finished or set aside
//	      run                the server is ready, within two minutes
//	      checkRecovered     the server offers every stream that is on the disk
//	      limitStreams       the server creates no more streams than Options.Streams allows
//	    verify               the streams are where the record says, or above
//
// # What a start makes of what it finds
//
// Whether damage is a loss depends on what was certainly on the disk. With --sync always that is
// everything that was acknowledged, with an interval it is what the record says (see record).
//
//	found                                     after a clean stop    after a crash
//	----------------------------------------  --------------------  -----------------------------
//	a block is missing or has another size    loss                  seen only in what follows
//	unreadable, with whole messages behind    loss                  loss, if it was on the disk
//	unreadable, in a block that is not the    loss                  loss, if it was on the disk
//	  newest
//	end of the newest block is cut short      seen by the size      ignored: such a write was not
//	                                                                acknowledged
//	the same, and what follows looks so much  seen by the size      copied and logged
//	  like messages that the search gives up
//	end of the newest block is whole, wrong   loss                  copied and logged: a power cut
//	                                                                can leave it
//	a stream ends below the record            loss                  loss
//	a stream has lost messages while the      loss                  loss, if it was recorded
//	  server ran
//	fewer messages than recorded, in a        loss                  not judged: a purge may have
//	  stream where nothing expires                                  come after the record
//	a stream is gone                          loss                  logged: it was deleted, or its
//	                                                                directory is lost
//	a stream has another time of creation     loss                  it was created again; the
//	                                                                record does not apply
//	messages without a configuration          loss; set aside with  set aside: the deletion was
//	                                          AcceptLoss            interrupted
//	configuration not older than a checksum   finished
//	  that is wrong or missing
//	any other configuration that does not     the start is refused by checkRecovered, and the
//	  match its checksum                      record is not clean any more
//
// A clean stop leaves nothing half done, and nothing may change after it, so a stream that is gone
// then was not deleted (TestStreamGoneAfterACleanStopIsALoss). The sizes of the blocks are compared
// if the state file is the one of the clean stop or is damaged. With another one, a start that was
// refused may have opened the store since.
//
// Damage that is not a certain loss is copied and logged, and the server cuts it.
//
// A purge does not lower the last revision of a stream. A snapshot that a native client restores
// over a stream is older than the record, and needs AcceptLoss once. TestKillIsNeverTakenForALoss
// kills a server while all kinds of changes are under way.
//
// # What cannot be repaired
//
// A crash brings old values back. nats-server 2.15.2 notes in its files what a purge removes, but
// not what the history limit removes. After a crash it reads its newest block again, and if the
// marker that hid a removed value has been purged or has expired, that value is the value of the
// key again: DELETE, then DELETE …/markers, any later SIGKILL, and up to "history" old revisions
// are back, with --sync always as well (TestKillBringsBackWhatAPurgedMarkerHid in test/e2e). A
// clean stop does not bring them back, nor does a crash while the marker is there. Nothing outside
// the server can prevent this, and no client is told a wrong state: the loss of the source resets
// all streams, and their new snapshots have the value again. watchcheck claims nothing about such a
// key until it is written again. What comes back below a roll-up is removed by kvclient's
// FinishRollUps after each start.
//
// # Files
//
//	natsd.go         the options, and the start of the server
//	lock.go          one process has the store
//	admit.go         whether the store may be opened, before and after the server has done so
//	inspect.go       what the files lack of what the record says
//	block_reader.go  reads the blocks of all streams, several at once
//	block.go         one block, and the state file, as nats-server writes them
//	repair.go        finishes what a crash interrupted
//	record.go        how far each stream has come, as it is written down
//	recorder.go      keeps the record of a running server
//	syncer.go        syncs what is stored, in place of the server
//	disk.go          whether the store takes writes, and another life for a server that cannot
//	                 write; disk_unix.go and disk_other.go have the room on the disk
//	streams.go       the bounds on streams and connections
//	log.go           the log lines of the server
//	stop.go          the clean stop
package natsd
