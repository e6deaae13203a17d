/** Formats figures for people. */

/** Shown for an unknown figure. */
export const UNKNOWN = "–";

/** Bit/s, as "64 kbit/s" or "1.48 Mbit/s". */
export function bitrateInWords(bitrate: number | null): string {
  if (bitrate === null) return UNKNOWN;
  return bitrate < 999_500 ? `${(bitrate / 1000).toFixed(0)} kbit/s` : `${(bitrate / 1e6).toFixed(2)} Mbit/s`;
}

/** A share from 0 to 1, in percent. */
export function shareInWords(share: number | null): string {
  return share === null ? UNKNOWN : `${(share * 100).toFixed(1)} %`;
}

/** Milliseconds. */
export function timeInWords(milliseconds: number | null): string {
  return milliseconds === null ? UNKNOWN : `${milliseconds.toFixed(0)} ms`;
}

/** A number without its fraction. */
export function numberInWords(value: number | null): string {
  return value === null ? UNKNOWN : value.toFixed(0);
}
