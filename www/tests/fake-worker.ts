// Stands in for the worker of `hdms-node`: the service worker then only keeps the pages.
export {};
