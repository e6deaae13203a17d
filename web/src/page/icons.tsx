/** The icons of the page, drawn in lines on 24 by 24 units. */

const PATHS = {
  mic: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3",
  camera:
    "M5.5 6.5H13a2.5 2.5 0 0 1 2.5 2.5v6a2.5 2.5 0 0 1-2.5 2.5H5.5A2.5 2.5 0 0 1 3 15V9a2.5 2.5 0 0 1 2.5-2.5zM15.5 10.5l5.5-3v9l-5.5-3z",
  screen:
    "M5 4.5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2zM9 20h6M12 13.5v-6M9.2 10 12 7.2l2.8 2.8",
  link: "M10 14a4 4 0 0 0 5.7 0l3.1-3.1a4 4 0 0 0-5.7-5.7l-1.3 1.3M14 10a4 4 0 0 0-5.7 0l-3.1 3.1a4 4 0 0 0 5.7 5.7l1.3-1.3",
  details: "M4 20V10M10 20V4M16 20v-7M22 20H2",
  leave: "M3.5 14.5C3.5 11 7.5 9 12 9s8.5 2 8.5 5.5V16H16v-3a12 12 0 0 0-8 0v3H3.5z",
  picture:
    "M2 12c2.2-4 5.5-6.5 10-6.5S19.8 8 22 12c-2.2 4-5.5 6.5-10 6.5S4.2 16 2 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  sound: "M4 9.5h4l5-4.5v14l-5-4.5H4zM16.5 8.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12",
} as const;

/** The name of an icon. */
export type IconName = keyof typeof PATHS;

/** An icon; for those who see it, so the text beside it must say the same. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
