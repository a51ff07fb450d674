/** The camera, or why there is none and what to do about it. */
import type { Told } from "./stream";

/** What is asked of a camera: no more than networks look at. */
const WANTED: MediaStreamConstraints = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };

/** By the name of the browser's own error. */
const REASONS: Record<string, [string, string]> = {
  NotAllowedError: ["the camera was refused", "allow it for this page in the browser's address bar, then choose Camera again; images and examples work without"],
  NotFoundError: ["this machine has no camera", "choose images or the study's examples instead"],
  NotReadableError: ["the camera cannot be read", "another program may be using it: close that, then choose Camera again"],
  OverconstrainedError: ["the camera has no picture that fits", "choose images or the study's examples instead"],
};

/** Says why there can be no camera on this page at all; null where there can. */
export function cameraless(page: { secure: boolean; port: string; devices: boolean }): Told | null {
  if (page.devices) return null;
  if (page.secure) return { kind: "Camera", message: "this browser has no access to cameras", hint: "choose images or the study's examples instead" };
  const port = page.port || "80";
  return {
    kind: "Camera",
    message: "browsers give the camera only to pages of this machine itself, or over TLS",
    hint: `from the machine with the camera: ssh -L ${port}:127.0.0.1:${port} SERVER, then open http://127.0.0.1:${port}/ there (with the token, if one is asked for)`,
  };
}

/** Opens the camera; throws `Told`. */
export async function openCamera(): Promise<MediaStream> {
  const devices = (navigator as { mediaDevices?: MediaDevices }).mediaDevices;
  const none = cameraless({ secure: isSecureContext, port: location.port, devices: devices?.getUserMedia !== undefined });
  if (none !== null || devices === undefined) throw none;
  try {
    return await devices.getUserMedia(WANTED);
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const [message, hint] = REASONS[name] ?? [`the camera cannot be opened: ${error instanceof Error ? error.message : String(error)}`, "choose images or the study's examples instead"];
    throw { kind: "Camera", message, hint } satisfies Told;
  }
}
