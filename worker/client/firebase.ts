// Firebase Cloud Messaging by its official SDK, which is loaded only where a deployment uses it.

/** What `/network.json` names. */
export type FirebaseProject = {
  apiKey: string;
  appId: string;
  projectId: string;
  messagingSenderId: string;
  vapidKey: string;
};

const NAME = "hdms";

/** The token under which Firebase wakes this worker; another one than before if `anew`. */
export async function tokenOf(
  { vapidKey, ...options }: FirebaseProject,
  serviceWorkerRegistration: ServiceWorkerRegistration,
  anew: boolean,
): Promise<string> {
  const [{ getApps, initializeApp }, { deleteToken, getMessaging, getToken }] = await Promise.all([
    import("firebase/app"),
    import("firebase/messaging"),
  ]);
  const app = getApps().find(({ name }) => name === NAME) ?? initializeApp(options, NAME);
  const messaging = getMessaging(app);
  const token = await getToken(messaging, { vapidKey, serviceWorkerRegistration });
  if (!anew) return token;
  // Only now does the SDK know whose token it is to delete.
  await deleteToken(messaging);
  return getToken(messaging, { vapidKey, serviceWorkerRegistration });
}
