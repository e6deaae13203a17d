/**
 * trio-sfu's browser client.
 *
 *     import { Room } from "/client.js";
 *
 *     const room = new Room();
 *     room.on("trackSubscribed", ({ kind, stream, peerId }) => { … });
 *     await room.join({ roomId: "lobby", name: "Ada" });
 *     room.publish(track);
 */
export { type ConnectionState } from "./connection-state.js";
export { type CaptureFailure, type CaptureOptions, LocalMedia, type LocalMediaEvents } from "./local-media.js";
export { Emitter, type Listener } from "./emitter.js";
export { RoomError, type RoomErrorKind } from "./errors.js";
export { type EndReason, type Publication, type PublishOptions } from "./publications.js";
export type { Kind, MediaState, Source, TrackInfo } from "./protocol.js";
export type { RemoteTrack } from "./remote-tracks.js";
export { Room, type RoomEnvironment } from "./room.js";
export type { JoinOptions, RoomEvents, Session } from "./room-events.js";
export type { RemotePeer } from "./roster.js";
export type { PublicationStatistics, RemoteTrackStatistics, RoomStatistics } from "./stats.js";
