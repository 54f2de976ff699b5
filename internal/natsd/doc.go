// Package natsd runs a nats-server with JetStream inside this process: the store of a gateway that
// has no NATS of its own to connect to. It opens the store, says when the server is ready, records
// how far each stream has come, and stops the server. Everything else goes through
// internal/kvclient, as with any other NATS.
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
// go on like that. So Start reads the blocks before the server does, and fails with a [LossError]
// if data is lost for certain. Nothing on the disk is changed then. With [Options.AcceptLoss] the
// damaged blocks are copied to "set-aside" first, and the server is made to rebuild the stream,
// which keeps its last revision if the state file still has it (TestDamagedBlockStopsTheStart).
//
// # The store, state by state
//
//	clean     no server runs, and the record says that the last one was stopped
//	crashed   no server runs, and the record says that the last one was not stopped
//	open      a server runs
//	failing   a server runs and takes no writes, since its disk is full or fails
//	hanging   Shutdown has given up waiting for the server
//
//	event                 clean                crashed             open        failing      hanging
//	--------------------  -------------------  ------------------  ----------  -----------  -------
//	Start                 sizes are compared,  all blocks are      InUseError  InUseError   InUse-
//	                      newest blocks read,  read; open                                   Error
//	                      512 MiB at most;
//	                      open
//	Start finds a loss    LossError; with AcceptLoss a copy,       -           -            -
//	                      and open
//	record is due         -                    -                   written     written      -
//	no room on the disk   -                    -                   failing     -            -
//	a write has failed    -                    -                   the server  the server   -
//	                                                               is started  is started
//	                                                               again       again once
//	                                                                           there is room
//	Shutdown              -                    -                   clean       clean        -
//	Shutdown takes long   -                    -                   hanging     hanging      -
//	the server is down    -                    -                   -           -            clean
//	process ends          clean                crashed             crashed     crashed      crashed
//
// A start has these steps, and each may refuse the store:
//
//	prepareDir, lockDir   one process has the store; else InUseError
//	admit                 the blocks are read and compared with the record
//	recorder.begin        the record says from here on that the store is not clean
//	repair                what a crash interrupted is finished or set aside
//	run                   the server is ready, within two minutes
//	checkRecovered        the server offers every stream that is on the disk
//	verify                the streams are where the record says, or above
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
//	end of the newest block is whole, wrong   loss                  copied and logged: a power cut
//	                                                                can leave it
//	a stream ends below the record            loss                  loss
//	fewer messages than recorded, in a        loss                  not judged: a purge may have
//	  stream where nothing expires                                  come after the record
//	a stream is gone                          logged: it was deleted, or its directory is lost
//	a stream has another time of creation     it was created again; the record does not apply
//	configuration not older than a checksum   finished
//	  that is wrong or missing
//	messages without a configuration          set aside
//	any other configuration that does not     the start is refused by checkRecovered
//	  match its checksum
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
// all streams, and their new snapshots have the value again. test/watchcheck claims nothing about
// such a key until it is written again. What comes back below a roll-up is removed by kvclient's
// FinishRollUps after each start.
package natsd
