//! Streams around another one: what Pingora asks of each, and they ask of the one inside.

/// Hands on what a stream is asked that is not about bytes to its field `inner`, but for its proxy digest.
macro_rules! hand_on {
    ($stream:ident) => {
        impl ::pingora::protocols::UniqueID for $stream {
            fn id(&self) -> ::pingora::protocols::UniqueIDType {
                self.inner.id()
            }
        }

        impl ::pingora::protocols::Ssl for $stream {
            fn get_ssl(&self) -> Option<&::pingora::tls::ssl::SslRef> {
                self.inner.get_ssl()
            }

            fn get_ssl_digest(&self) -> Option<::std::sync::Arc<::pingora::protocols::tls::SslDigest>> {
                self.inner.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<::pingora::protocols::ALPN> {
                self.inner.selected_alpn_proto()
            }
        }

        impl ::pingora::protocols::GetTimingDigest for $stream {
            fn get_timing_digest(&self) -> Vec<Option<::pingora::protocols::TimingDigest>> {
                self.inner.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> ::std::time::Duration {
                self.inner.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> ::std::time::Duration {
                self.inner.get_write_pending_time()
            }
        }

        impl ::pingora::protocols::GetSocketDigest for $stream {
            fn get_socket_digest(&self) -> Option<::std::sync::Arc<::pingora::protocols::SocketDigest>> {
                self.inner.get_socket_digest()
            }

            fn set_socket_digest(&mut self, digest: ::pingora::protocols::SocketDigest) {
                self.inner.set_socket_digest(digest);
            }
        }
    };
}

pub(super) use hand_on;
